//! What of an exchange is written down: secrets are replaced before anything leaves the process.

use std::borrow::Cow;

use http::{
    HeaderMap, HeaderName,
    header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE},
    uri::PathAndQuery,
};

use crate::{
    config::LogContent,
    exchange::{Exchange, Row},
    types::percent_decoded,
};

/// What stands for a secret.
const REDACTED: &str = "[redacted]";

/// Fields whose values are never written, whoever asks for them.
const SECRET: [HeaderName; 4] = [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, SET_COOKIE];

/// The exchange as it is written down.
pub(super) fn row<'e>(content: &LogContent, exchange: &'e Exchange) -> Row<'e> {
    let query = exchange.path.as_ref().filter(|_| content.query).and_then(PathAndQuery::query);
    let query = query.map(|query| redacted_query(content, query));
    Row { query, ..exchange.row() }
}

/// Those of a request's fields that are asked for.
pub(super) fn fields(content: &LogContent, all: &HeaderMap) -> Vec<(HeaderName, Box<[u8]>)> {
    let wanted = content.headers.iter();
    let wanted = wanted.flat_map(|name| all.get_all(name).iter().map(move |value| (name, value)));
    wanted.map(|(name, value)| (name.clone(), field(content, name, value.as_bytes()))).collect()
}

fn field(content: &LogContent, name: &HeaderName, value: &[u8]) -> Box<[u8]> {
    if SECRET.contains(name) || content.redact.iter().any(|it| it == name.as_str()) {
        return REDACTED.as_bytes().into();
    }
    // Referer and its like.
    match value.split(|byte| *byte == b'?').next() {
        Some(before) if before.len() < value.len() => {
            let text = String::from_utf8_lossy(value);
            let (before, query) = text.split_once('?').unwrap_or((&text, ""));
            format!("{before}?{}", redacted_query(content, query)).into_bytes().into()
        }
        _ => value.into(),
    }
}

/// Between the pairs of a query; the last of them where another URL is a value.
const SEPARATORS: [char; 4] = ['&', ';', '#', '?'];

/// The query with the values of secret keys replaced, however these are spelt.
fn redacted_query<'q>(content: &LogContent, query: &'q str) -> Cow<'q, str> {
    let is_secret = |pair: &str| {
        let key = pair.split('=').next().unwrap_or_default();
        let key = percent_decoded(key);
        content.redact.iter().any(|it| it.as_bytes().eq_ignore_ascii_case(&key))
    };
    if !query.split(SEPARATORS).any(is_secret) {
        return query.into();
    }
    let pairs = query.split_inclusive(SEPARATORS).map(|pair| {
        let end = pair.strip_suffix(SEPARATORS).unwrap_or(pair);
        match end.split_once('=') {
            Some((key, _)) if is_secret(end) => {
                format!("{key}={REDACTED}{}", pair.get(end.len()..).unwrap_or_default()).into()
            }
            _ => Cow::from(pair),
        }
    });
    pairs.collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::{fields, redacted_query};
    use crate::config::LogContent;

    fn content() -> LogContent {
        let headers = vec![header::COOKIE, header::REFERER, header::USER_AGENT];
        LogContent {
            headers,
            query: true,
            redact: vec!["token".to_owned(), "user-agent".to_owned()],
        }
    }

    #[test]
    fn secrets_in_a_query_are_replaced_however_they_are_spelt() {
        for (query, written) in [
            ("a=1&b=2", "a=1&b=2"),
            ("a=1&token=s3cret&b=2", "a=1&token=[redacted]&b=2"),
            ("TOKEN=s3cret", "TOKEN=[redacted]"),
            ("to%6ben=s3cret;a=1", "to%6ben=[redacted];a=1"),
            ("token=a=s3cret&token=s3cret", "token=[redacted]&token=[redacted]"),
            ("mytoken=1", "mytoken=1"),
            ("next=http://b.test/?token=s3cret", "next=http://b.test/?token=[redacted]"),
            ("token", "token"),
            ("%", "%"),
            ("", ""),
        ] {
            assert_eq!(redacted_query(&content(), query), written, "{query}");
        }
    }

    #[test]
    fn secrets_in_fields_are_replaced() {
        let mut all = HeaderMap::new();
        for (name, value) in [
            (header::COOKIE, "s3cret"),
            (header::USER_AGENT, "s3cret"),
            (header::REFERER, "http://a.test/?b=1&token=s3cret"),
            (header::AUTHORIZATION, "s3cret"),
            (header::ACCEPT, "*/*"),
        ] {
            all.append(name, HeaderValue::from_static(value));
        }
        all.append(header::REFERER, HeaderValue::from_static("http://b.test/"));
        let told = fields(&content(), &all);
        let told = told.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value)));
        let told: Vec<_> = told.map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            told,
            [
                "cookie: [redacted]",
                "referer: http://a.test/?b=1&token=[redacted]",
                "referer: http://b.test/",
                "user-agent: [redacted]"
            ]
        );
    }
}
