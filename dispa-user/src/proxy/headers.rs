//! Header fields that belong to one hop and are not forwarded (RFC 9110 section 7.6.1).

use http::{
    HeaderMap, HeaderName,
    header::{
        CONNECTION, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
    },
};

const ONE_HOPS: usize = 9;

/// Fields of one hop, whether Connection names them or not.
const ONE_HOP: [HeaderName; ONE_HOPS] = [
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

/// Removes what is meant for this hop only. Most messages have one such field, or none.
pub(super) fn remove_one_hop(fields: &mut HeaderMap) {
    let mut present = [false; ONE_HOPS];
    for name in fields.keys() {
        if let Some(index) = ONE_HOP.iter().position(|one| one == name)
            && let Some(present) = present.get_mut(index)
        {
            *present = true;
        }
    }
    for name in named_by_connection(fields).iter().filter(|name| **name != HOST) {
        fields.remove(name);
    }
    for (name, _) in ONE_HOP.iter().zip(present).filter(|(_, present)| *present) {
        fields.remove(name);
    }
}

/// The protocols that a message asks to change to, or agrees to: those of Upgrade, if Connection
/// names it.
pub(super) fn asked_upgrades(fields: &HeaderMap) -> impl Iterator<Item = &str> {
    let named = elements(fields, &CONNECTION).any(|name| name.eq_ignore_ascii_case("upgrade"));
    elements(fields, &UPGRADE).filter(move |_| named)
}

/// The names in every Connection field, but for the words that are no names of fields. A message
/// must not lose its host by naming it.
fn named_by_connection(fields: &HeaderMap) -> Vec<HeaderName> {
    let is_word =
        |name: &str| ["close", "keep-alive"].iter().any(|it| it.eq_ignore_ascii_case(name));
    let names = elements(fields, &CONNECTION).filter(|name| !is_word(name));
    names.filter_map(|name| name.parse().ok()).collect()
}

/// What the fields of this name list, a line or several.
fn elements<'a>(fields: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = fields.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::{asked_upgrades, remove_one_hop};
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
        remove_one_hop(&mut map);
        assert_eq!(map, fields(&[("x-three", "3")]));
    }

    #[test]
    fn only_what_connection_names_is_an_upgrade() {
        for (connection, upgrade, asked) in [
            ("Upgrade", "websocket", &["websocket"][..]),
            ("keep-alive, upgrade", "WebSocket", &["WebSocket"]),
            ("upgrade", "h2c, websocket", &["h2c", "websocket"]),
            ("keep-alive", "websocket", &[]),
        ] {
            let mut map = fields(&[
                ("connection", connection),
                ("upgrade", upgrade),
                ("http2-settings", "AAEAAEAAAAIAAAAB"),
            ]);
            assert_eq!(asked_upgrades(&map).collect::<Vec<_>>(), asked, "{connection}: {upgrade}");
            remove_one_hop(&mut map);
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
