//! Header fields that belong to one hop and are not forwarded (RFC 9110 section 7.6.1).

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONNECTION, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
    },
};

/// Fields of one hop, whether Connection names them or not.
const ONE_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The one protocol that a connection may change to. HTTP/2 (`h2c`) is not: what follows is relayed
/// unread, and its requests would pass by the rules.
const WEBSOCKET: &str = "websocket";

/// Removes what is meant for this hop only; tells whether a change to WebSocket was asked for or,
/// by a response, agreed to.
pub(super) fn remove_one_hop(fields: &mut HeaderMap) -> bool {
    let named = named_by_connection(fields);
    let websocket = named.contains(&UPGRADE) && lists_websocket(fields);
    for name in named.iter().filter(|name| **name != HOST) {
        fields.remove(name);
    }
    for name in &ONE_HOP {
        fields.remove(name);
    }
    websocket
}

/// Asks the next hop, or tells the client, to change to WebSocket.
pub(super) fn put_websocket(fields: &mut HeaderMap) {
    fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    fields.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
}

/// Protocol names are compared without regard to case (RFC 9110 section 7.8).
fn lists_websocket(fields: &HeaderMap) -> bool {
    elements(fields, &UPGRADE).any(|protocol| protocol.eq_ignore_ascii_case(WEBSOCKET))
}

/// The names in every Connection field. A message must not lose its host by naming it.
fn named_by_connection(fields: &HeaderMap) -> Vec<HeaderName> {
    elements(fields, &CONNECTION).filter_map(|name| name.parse().ok()).collect()
}

/// What the fields of this name list, a line or several.
fn elements<'a>(fields: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = fields.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::remove_one_hop;
    use http::{HeaderMap, HeaderValue};

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(*name, HeaderValue::from_static(value));
        }
        fields
    }

    #[test]
    fn fields_named_by_any_connection_line_go() {
        let mut map = fields(&[
            ("connection", "close, x-one"),
            ("connection", "X-Two"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
            ("te", "trailers"),
            ("keep-alive", "timeout=5"),
        ]);
        assert!(!remove_one_hop(&mut map));
        assert_eq!(map, fields(&[("x-three", "3")]));
    }

    #[test]
    fn only_a_websocket_that_connection_names_is_an_upgrade() {
        for (connection, upgrade, websocket) in [
            ("Upgrade", "websocket", true),
            ("keep-alive, upgrade", "WebSocket", true),
            ("upgrade", "h2c, websocket", true),
            ("keep-alive", "websocket", false),
            ("Upgrade, HTTP2-Settings", "h2c", false),
        ] {
            let mut map = fields(&[
                ("connection", connection),
                ("upgrade", upgrade),
                ("http2-settings", "AAEAAEAAAAIAAAAB"),
            ]);
            assert_eq!(remove_one_hop(&mut map), websocket, "{connection}: {upgrade}");
            assert!(map.is_empty(), "{map:?}");
        }
    }

    #[test]
    fn the_host_stays_even_if_connection_names_it() {
        let mut map = fields(&[("connection", "host"), ("host", "a.test")]);
        remove_one_hop(&mut map);
        assert_eq!(map, fields(&[("host", "a.test")]));
    }
}
