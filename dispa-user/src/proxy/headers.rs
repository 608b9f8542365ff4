//! Header fields that belong to one hop and are not forwarded (RFC 9110 section 7.6.1).

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONNECTION, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
    },
};

/// Fields of one hop, whether Connection names them or not.
const ONE_HOP: [HeaderName; 7] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
];

/// Removes what is meant for this hop only; the protocol asked for by an upgrade is returned.
pub(super) fn remove_one_hop(fields: &mut HeaderMap) -> Option<HeaderValue> {
    let named = named_by_connection(fields);
    let wants_upgrade = named.contains(&UPGRADE);
    let upgrade = fields.remove(UPGRADE).filter(|_| wants_upgrade);
    for name in named.iter().filter(|name| **name != HOST) {
        fields.remove(name);
    }
    for name in &ONE_HOP {
        fields.remove(name);
    }
    upgrade
}

/// Asks the next hop, or tells the client, to change the protocol.
pub(super) fn put_upgrade(fields: &mut HeaderMap, protocol: HeaderValue) {
    fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    fields.insert(UPGRADE, protocol);
}

/// The names in every Connection field. A message must not lose its host by naming it.
fn named_by_connection(fields: &HeaderMap) -> Vec<HeaderName> {
    fields
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect()
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
        assert_eq!(remove_one_hop(&mut map), None);
        assert_eq!(map, fields(&[("x-three", "3")]));
    }

    #[test]
    fn an_upgrade_counts_only_where_connection_names_it() {
        let mut asked = fields(&[("connection", "Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(remove_one_hop(&mut asked), Some(HeaderValue::from_static("websocket")));
        let mut idle = fields(&[("upgrade", "h2c")]);
        assert_eq!(remove_one_hop(&mut idle), None);
        assert!(idle.is_empty());
    }

    #[test]
    fn the_host_stays_even_if_connection_names_it() {
        let mut map = fields(&[("connection", "host"), ("host", "a.test")]);
        remove_one_hop(&mut map);
        assert_eq!(map, fields(&[("host", "a.test")]));
    }
}
