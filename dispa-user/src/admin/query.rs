//! The query of a question: `name=value` pairs, percent-encoded.

use std::{borrow::Cow, time::Duration};

use crate::{
    exchange::{Filter, statuses},
    rules::Pattern,
};

/// The value of `name`. `None` where there is not exactly one, or it is not UTF-8.
pub(super) fn value(query: &str, name: &str) -> Option<String> {
    let mut values = pairs(query).filter(|(key, _)| *key == name);
    let (_, value) = values.next().filter(|_| values.next().is_none())?;
    percent_decoded(value)
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// What `host=*.example.com&status=5xx&target=...&process=...&outcome=...&slower_than_ms=...` asks for,
/// or what is wrong with it.
pub(super) fn filter(query: &str) -> Result<Filter, String> {
    let mut filter = Filter::default();
    for (name, value) in pairs(query) {
        let text = percent_decoded(value).ok_or_else(|| format!("{name} is not UTF-8"))?;
        match name {
            "host" => {
                let pattern = Pattern::parse(&text).map_err(|error| format!("host: {error}"))?;
                filter.host = Some(pattern);
            }
            "status" => {
                let statuses = statuses(&text).ok_or("status: write it as 503 or 5xx")?;
                filter.status = Some(statuses);
            }
            "target" => filter.target = Some(text),
            "process" => filter.process = Some(text),
            "outcome" => filter.outcome = Some(text),
            "slower_than_ms" => {
                let limit = text.parse().map_err(|_| "slower_than_ms: write a whole number")?;
                filter.slower_than = Some(Duration::from_millis(limit));
            }
            other => return Err(format!("{other:?} cannot be asked for")),
        }
    }
    Ok(filter)
}

/// The query of a filter, as [`filter()`] reads it.
pub(super) fn of_filter(filter: &Filter) -> String {
    let Filter { host, status, target, process, outcome, slower_than } = filter;
    let status = status.as_ref().map(|range| match (*range.start(), *range.end()) {
        (first, last) if first == last => first.to_string(),
        (first, _) => format!("{}xx", first / 100),
    });
    let slower = slower_than.map(|limit| limit.as_millis().to_string());
    let pairs = [
        ("host", host.as_ref().map(ToString::to_string)),
        ("status", status),
        ("target", target.clone()),
        ("process", process.clone()),
        ("outcome", outcome.clone()),
        ("slower_than_ms", slower),
    ];
    let said = pairs.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let said: Vec<_> =
        said.map(|(name, value)| format!("{name}={}", percent_encoded(&value))).collect();
    said.join("&")
}

/// RFC 3986 section 2.3: all that is not unreserved.
fn percent_encoded(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if text.bytes().all(plain) {
        return text.into();
    }
    let encode = |byte| if plain(byte) { char::from(byte).into() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect::<String>().into()
}

/// RFC 3986 section 2.1; a `%` without two hexadecimal digits after it stands for itself.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'%').then(|| after.split_first_chunk::<2>()).flatten();
        let decoded = escaped.and_then(|(digits, after)| Some((hexadecimal(*digits)?, after)));
        let (byte, after) = decoded.unwrap_or((first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

fn hexadecimal(digits: [u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high? * 16 + low?).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{filter, of_filter, percent_decoded, value};
    use crate::{
        exchange::{Filter, statuses},
        rules::Pattern,
    };

    #[test]
    fn a_value_is_read_once() {
        assert_eq!(value("of=a.b", "of").as_deref(), Some("a.b"));
        assert_eq!(value("x=1&of=http%3A%2F%2Fa%3a80", "of").as_deref(), Some("http://a:80"));
        assert_eq!(value("off=a", "of"), None);
        assert_eq!(value("of=a&of=b", "of"), None);
        assert_eq!(value("", "of"), None);
        assert_eq!(percent_decoded("100%").as_deref(), Some("100%"));
        assert_eq!(percent_decoded("%2").as_deref(), Some("%2"));
        assert_eq!(percent_decoded("%zz").as_deref(), Some("%zz"));
        assert_eq!(percent_decoded("%c3%bc").as_deref(), Some("ü"));
        assert_eq!(percent_decoded("%ff"), None);
    }

    #[test]
    fn a_filter_survives_its_way() {
        let all = Filter {
            host: Some(Pattern::parse("*.example.com").expect("a pattern")),
            status: statuses("5xx"),
            target: Some("a&b=c d%".to_owned()),
            process: Some("curl".to_owned()),
            outcome: Some("ok".to_owned()),
            slower_than: Some(Duration::from_millis(200)),
        };
        assert_eq!(filter(&of_filter(&all)), Ok(all));
        let one = Filter { status: statuses("404"), ..Filter::default() };
        assert_eq!(filter(&of_filter(&one)), Ok(one));
        assert_eq!(filter(&of_filter(&Filter::default())), Ok(Filter::default()));
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for bad in ["host=*", "status=ok", "slower_than_ms=-1", "what=1", "target=%ff"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }
}
