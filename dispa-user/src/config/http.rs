//! `[http]`: how HTTP is spoken at both doors and to the targets.

use std::net::IpAddr;
use std::time::Duration;

use http::HeaderValue;

use super::section::Section;
use super::value::{Reading, Value, choice, integer, list, parsed, seconds};
use crate::framing::HeadLimits;

/// Fewer bytes would refuse ordinary requests; more would let each connection hold that much.
const HEADER_BYTES: std::ops::RangeInclusive<usize> = 1024..=1_048_576;
const DEFAULT_MAX_HEADER_BYTES: usize = 32 * 1024;
const HEADERS: std::ops::RangeInclusive<usize> = 8..=1024;
const DEFAULT_MAX_HEADERS: usize = 100;
/// `http::Uri` holds no longer ones.
const TARGET_BYTES: std::ops::RangeInclusive<usize> = 1024..=65_534;
/// RFC 9112 section 3 recommends to take at least 8,000.
const DEFAULT_MAX_TARGET_BYTES: usize = 8192;
const STREAMS: std::ops::RangeInclusive<u32> = 1..=10_000;
/// RFC 9113 section 6.5.2 recommends no fewer than 100.
const DEFAULT_MAX_STREAMS: u32 = 128;
const DEFAULT_MAX_RESETS: u32 = 100;
const DEFAULT_VIA: &str = "dispa";
const WEBSOCKET: &str = "websocket";

/// How HTTP is spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// How long the head of a request may take, from its first byte.
    pub header_timeout: Duration,
    /// How long a body may stand still, whoever it is that does not move.
    pub body_timeout: Duration,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// How long a target may take to begin its response, unless it has its own `timeout`.
    pub first_byte_timeout: Duration,
    /// How long a connection that left HTTP may be silent both ways.
    pub websocket_timeout: Duration,
    /// How long open exchanges may go on once the daemon stops.
    pub drain_timeout: Duration,
    /// How long open exchanges may go on once another daemon has taken over.
    pub upgrade_timeout: Duration,
    /// What a head may hold.
    pub heads: HeadLimits,
    /// Streams of one HTTP/2 connection that are open at once.
    pub max_streams: u32,
    /// Streams of one HTTP/2 connection that its client may reset in a second.
    pub max_resets: u32,
    /// Protocols that a connection may change to, in lower case.
    pub upgrades: Vec<String>,
    /// What becomes of the fields that tell of earlier hops.
    pub forwarded: Forwarded,
    /// Peers whose word on earlier hops is taken.
    pub trusted_proxies: Vec<IpAddr>,
    /// What we say of ourselves in Via; none if there is to be no such field.
    pub via: Option<Via>,
}

/// A Via element for each version that a message can have come in (RFC 9110 section 7.6.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// HTTP/1.0.
    pub http10: HeaderValue,
    /// HTTP/1.1.
    pub http11: HeaderValue,
    /// HTTP/2.
    pub http2: HeaderValue,
}

impl Via {
    /// `None` for a name that a field cannot hold.
    fn new(name: &str) -> Option<Self> {
        let element = |version| HeaderValue::try_from(format!("{version} {name}")).ok();
        Some(Self { http10: element("1.0")?, http11: element("1.1")?, http2: element("2")? })
    }
}

/// What becomes of X-Forwarded-For, -Proto, -Host and Forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarded {
    /// They pass like any other field.
    Off,
    /// Ours is added to what a trusted peer says; what others say is removed.
    Append,
    /// Ours alone.
    Replace,
}

const FORWARDED: &[(&str, Forwarded)] =
    &[("off", Forwarded::Off), ("append", Forwarded::Append), ("replace", Forwarded::Replace)];

impl Http {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let mut limit = |name, default| section.key_or(name, seconds, Duration::from_secs(default));
        Self {
            header_timeout: limit("header_timeout", 10),
            body_timeout: limit("body_timeout", 30),
            connect_timeout: limit("connect_timeout", 5),
            first_byte_timeout: limit("first_byte_timeout", 30),
            websocket_timeout: limit("websocket_timeout", 3600),
            drain_timeout: limit("drain_timeout", 10),
            upgrade_timeout: limit("upgrade_timeout", 600),
            heads: heads(section),
            max_streams: section.key_or("max_streams", integer(STREAMS), DEFAULT_MAX_STREAMS),
            max_resets: section.key_or("max_resets", integer(STREAMS), DEFAULT_MAX_RESETS),
            upgrades: section.key_or("upgrades", list(protocol), vec![WEBSOCKET.to_owned()]),
            forwarded: section.key_or("forwarded", choice(FORWARDED), Forwarded::Off),
            trusted_proxies: section.key_or("trusted_proxies", list(address), Vec::new()),
            via: section.key("via", via).unwrap_or_else(|| Via::new(DEFAULT_VIA)),
        }
    }
}

fn heads(section: &mut Section<'_>) -> HeadLimits {
    HeadLimits {
        bytes: section.key_or("max_header_bytes", integer(HEADER_BYTES), DEFAULT_MAX_HEADER_BYTES),
        fields: section.key_or("max_headers", integer(HEADERS), DEFAULT_MAX_HEADERS),
        target: section.key_or("max_target_bytes", integer(TARGET_BYTES), DEFAULT_MAX_TARGET_BYTES),
    }
}

fn address(value: &Value<'_>) -> Reading<IpAddr> {
    let parse = |text: &str| {
        text.parse::<IpAddr>().map(|ip| ip.to_canonical()).map_err(|_| "not an IP address")
    };
    parsed(parse, "write it as \"192.0.2.1\" or \"2001:db8::1\"")(value)
}

/// What is relayed once a connection has changed to HTTP would pass by the rules.
fn protocol(value: &Value<'_>) -> Reading<String> {
    let parse = |text: &str| match text.to_ascii_lowercase() {
        text if text.starts_with("h2") || text.starts_with("http") || text.starts_with("tls") => {
            Err("a change to another HTTP is not passed on")
        }
        text if is_token(&text) => Ok(text),
        _ => Err("not the name of a protocol"),
    };
    parsed(parse, "write a name such as \"websocket\"")(value)
}

fn via(value: &Value<'_>) -> Reading<Option<Via>> {
    let parse = |text: &str| match text {
        "" => Ok(None),
        text if is_token(text) => Ok(Via::new(text)),
        _ => Err("not a name that a Via field can hold"),
    };
    parsed(parse, "write letters and digits such as \"dispa\", or \"\" for no Via")(value)
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}
