//! The query of a question: `name=value` pairs, percent-encoded.

use std::time::Duration;

use crate::{
    exchange::{Filter, statuses},
    rules::Pattern,
    types::{Outcome, percent_decoded, percent_encoded},
};

/// The value of `name`. `None` where there is not exactly one, or it is not UTF-8.
pub(super) fn value(query: &str, name: &str) -> Option<String> {
    let mut values = pairs(query).filter(|(key, _)| *key == name);
    let (_, value) = values.next().filter(|_| values.next().is_none())?;
    String::from_utf8(percent_decoded(value)).ok()
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
        let text = String::from_utf8(percent_decoded(value));
        let text = text.map_err(|_| format!("{name} is not UTF-8"))?;
        match name {
            "host" => {
                let pattern = Pattern::parse(&text).map_err(|error| format!("host: {error}"))?;
                filter.host = Some(pattern);
            }
            "status" => {
                let statuses = statuses(&text).map_err(|why| format!("status: {why}"))?;
                filter.status = Some(statuses);
            }
            "target" => filter.target = Some(text),
            "process" => filter.process = Some(text),
            "outcome" if Outcome::ALL.iter().any(|it| it.name() == text) => {
                filter.outcome = Some(text);
            }
            "outcome" => return Err(format!("outcome: there is no {text:?}")),
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
    let status = status.map(|(low, high)| format!("{low}-{high}"));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{filter, of_filter, value};
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
    }

    #[test]
    fn a_filter_survives_its_way() {
        let all = Filter {
            host: Some(Pattern::parse("*.example.com").expect("a pattern")),
            status: statuses("5xx").ok(),
            target: Some("a&b=c d%".to_owned()),
            process: Some("curl".to_owned()),
            outcome: Some("ok".to_owned()),
            slower_than: Some(Duration::from_millis(200)),
        };
        assert_eq!(filter(&of_filter(&all)), Ok(all));
        let one = Filter { status: statuses("404").ok(), ..Filter::default() };
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
