//! What a message says of the hops it has made: Via, X-Forwarded-*, Forwarded.

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Version,
    header::{self, FORWARDED, VIA},
};

use super::serve::Link;
use crate::config::{Forwarded, Http};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Connections are not yet taken from TLS.
const HTTP: HeaderValue = HeaderValue::from_static("http");

/// Adds ourselves to Via; `from` is the version that the message came in (RFC 9110 section 7.6.3).
pub(super) fn via(fields: &mut HeaderMap, from: Version, http: &Http) {
    let Some(via) = &http.via else { return };
    let value = match from {
        Version::HTTP_2 => &via.http2,
        Version::HTTP_10 => &via.http10,
        _ => &via.http11,
    };
    fields.append(VIA, value.clone());
}

/// Tells the backend who asks, as the configuration wants it.
pub(super) fn tell<B>(request: &mut Request<B>, link: &Link) {
    let state = link.worker.state();
    let http = &state.http;
    let ip = link.client.ip();
    let keeps = match http.forwarded {
        Forwarded::Off => return,
        Forwarded::Replace => false,
        Forwarded::Append => http.trusted_proxies.contains(&ip),
    };
    // As the client wrote it.
    let authority =
        request.uri().authority().and_then(|it| HeaderValue::from_str(it.as_str()).ok());
    let host = authority.or_else(|| request.headers().get(header::HOST).cloned());
    let fields = request.headers_mut();
    let client = link.client.shown();
    if !keeps {
        for name in [&FOR, &PROTO, &HOST, &FORWARDED] {
            fields.remove(name);
        }
    }
    fields.append(FOR, client);
    // The first hop knows best how it was asked.
    if !fields.contains_key(PROTO) {
        fields.insert(PROTO, HTTP);
    }
    let Some(host) = host else { return };
    let element = element(&ip.to_string(), host.to_str().unwrap_or_default());
    if !fields.contains_key(HOST) {
        fields.insert(HOST, host);
    }
    if let Ok(element) = HeaderValue::try_from(element) {
        fields.append(FORWARDED, element);
    }
}

/// RFC 7239 section 4; what is no token is quoted, an IPv6 address in brackets as well.
fn element(ip: &str, host: &str) -> String {
    let ip = if ip.contains(':') { format!("\"[{ip}]\"") } else { ip.to_owned() };
    let host = if host.contains([':', '[']) { format!("\"{host}\"") } else { host.to_owned() };
    format!("for={ip};host={host};proto=http")
}
