//! One `[[targets.targets]]`, or one of `[[backends]]`: a server that can answer.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::pools::DEFAULT_NAME;
use super::problem::{Problem, Span};
use super::section::Section;
use super::value::{
    Located, Reading, Value, boolean, choice, integer, list, located, nonempty, parsed, seconds,
};
use crate::types::{HostName, HostNameError};

const DEFAULT_WEIGHT: u32 = 1;
/// More than a server has ports to be connected to from.
const MAX_CONNECTIONS: u32 = 1_000_000;
/// Enough for any proportion worth having.
const MAX_WEIGHT: u32 = 65_535;
/// RFC 9110 section 4.2.1.
const HTTP_PORT: u16 = 80;
/// RFC 9110 section 4.2.2.
const HTTPS_PORT: u16 = 443;

/// One server that can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What people, logs and metrics call it. Unique.
    pub name: Arc<str>,
    /// What it speaks.
    pub scheme: Scheme,
    /// Where it is.
    pub authority: TargetAuthority,
    /// Its share. 0: keeps its place, and the clients that its cookie keeps there.
    pub weight: u32,
    /// The labels by which pools pick it.
    pub tags: Vec<Arc<str>>,
    /// The most connections to it, of all workers.
    pub max_connections: Option<usize>,
    /// Whether it answers only where no other one can.
    pub backup: bool,
    /// `http.first_byte_timeout` for this target alone.
    pub timeout: Option<Duration>,
    /// Which HTTP it is spoken to in.
    pub protocol: Protocol,
    /// Which Host it is told.
    pub host: HostField,
}

/// Which HTTP a target is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, by prior knowledge (RFC 9113 section 3.3).
    Http2,
}

/// Which Host a target is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostField {
    /// The client's.
    Keep,
    /// Its own, as its URL has it.
    Target,
}

const PROTOCOLS: &[(&str, Protocol)] = &[("http1", Protocol::Http1), ("http2", Protocol::Http2)];
const HOST_FIELDS: &[(&str, HostField)] =
    &[("keep", HostField::Keep), ("target", HostField::Target)];

/// What a target speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP in the clear.
    Http,
    /// HTTP over TLS.
    Https,
}

/// The host and port of a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TargetAuthority {
    /// A name to resolve, or an address.
    pub host: HostName,
    /// Never 0.
    pub port: u16,
}

impl fmt::Display for TargetAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.ip() {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// A target with the places that later checks point at.
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) target: Target,
    pub(super) name_span: Span,
    /// None where the default holds.
    pub(super) weight_span: Option<Span>,
}

impl Declared {
    /// One of `[[targets.targets]]`. None if something is wrong with it, which is then reported.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let name = section.required("name", located(nonempty), "\"backend1\"");
        let address = section.required("url", url, "\"http://host:port\"");
        let tags = section.key_or("tags", list(tag), Vec::new());
        Self::read_rest(section, name, address, tags)
    }

    /// One of `[[backends]]`.
    pub(super) fn read_tagged(section: &mut Section<'_>) -> Option<Self> {
        let name = section.required("id", located(nonempty), "\"web-v1\"");
        let address = section.required("address", address, "\"host:port\"");
        let tags = section.required("tags", list(tag), "[\"a\"]").unwrap_or_default();
        Self::read_rest(section, name, address, tags)
    }

    fn read_rest(
        section: &mut Section<'_>,
        name: Option<Located<String>>,
        address: Option<(Scheme, TargetAuthority)>,
        tags: Vec<Arc<str>>,
    ) -> Option<Self> {
        let weight = section.key("weight", located(integer(0..=MAX_WEIGHT)));
        let timeout = section.key("timeout", seconds);
        let protocol = section.key_or("protocol", choice(PROTOCOLS), Protocol::Http1);
        let host = section.key_or("host", choice(HOST_FIELDS), HostField::Keep);
        let max_connections = section.key("max_connections", integer(1..=MAX_CONNECTIONS));
        let backup = section.key_or("backup", boolean, false);
        let Located { value: name, span: name_span } = name?;
        let (scheme, authority) = address?;
        let target = Target {
            name: name.into(),
            scheme,
            authority,
            weight: weight.as_ref().map_or(DEFAULT_WEIGHT, |weight| weight.value),
            tags,
            max_connections: max_connections.and_then(|most| most.try_into().ok()),
            backup,
            timeout,
            protocol,
            host,
        };
        Some(Self { target, name_span, weight_span: weight.map(|weight| weight.span) })
    }
}

/// A label by which pools pick backends.
pub(super) fn tag(value: &Value<'_>) -> Reading<Arc<str>> {
    let tag = nonempty(value)?;
    if tag == DEFAULT_NAME {
        let problem = Problem::error("the pool of [[targets.targets]] is called that");
        return Err(vec![problem.at(value.span(), "").help("choose another tag")]);
    }
    Ok(tag.into())
}

/// `host:port`, which speaks HTTP in the clear, or a URL.
fn address(value: &Value<'_>) -> Reading<(Scheme, TargetAuthority)> {
    let parse = |text: &str| {
        if text.contains("://") { parse_url(text) } else { parse_url(&format!("http://{text}")) }
    };
    without_secrets(value, parsed(parse, "write it as \"host:port\"")(value))
}

fn url(value: &Value<'_>) -> Reading<(Scheme, TargetAuthority)> {
    let help = "write it as \"http://host:port\" or \"https://host:port\"";
    without_secrets(value, parsed(parse_url, help)(value))
}

/// What is before an `@` may be a password: the line is not shown.
fn without_secrets<T>(value: &Value<'_>, read: Reading<T>) -> Reading<T> {
    let may_be_secret = value.get_ref().as_str().is_some_and(|text| text.contains('@'));
    read.map_err(|problems| {
        let hide = |problem: Problem| if may_be_secret { problem.without_place() } else { problem };
        problems.into_iter().map(hide).collect()
    })
}

/// Why a text is not the URL of a target.
#[derive(Debug, thiserror::Error)]
enum UrlError {
    #[error("`http://` or `https://` is missing")]
    NoScheme,
    #[error("credentials in a target's URL are not supported")]
    Credentials,
    #[error("a target is a whole server: its URL has no path, query or fragment")]
    Path,
    #[error(transparent)]
    BadHost(#[from] HostNameError),
}

fn parse_url(text: &str) -> Result<(Scheme, TargetAuthority), UrlError> {
    let (scheme, rest) = text.split_once("://").ok_or(UrlError::NoScheme)?;
    let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
        "http" => (Scheme::Http, HTTP_PORT),
        "https" => (Scheme::Https, HTTPS_PORT),
        _ => return Err(UrlError::NoScheme),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') {
        return Err(UrlError::Credentials);
    }
    if !matches!(path, "" | "/") {
        return Err(UrlError::Path);
    }
    let (host, port) = HostName::from_authority(authority)?;
    Ok((scheme, TargetAuthority { host, port: port.unwrap_or(default_port) }))
}
