//! Step 3, for each request: is it one that can be passed on at all?
//!
//! What the stream showed (framing, HTTP/1's lines) was judged before; here it is what the message
//! says. HTTP/2 requests are held to the same rules.

use http::{
    HeaderValue, Method, Request, Version,
    header::{EXPECT, HOST, MAX_FORWARDS},
};
use hyper::{body::Incoming, ext::Protocol};

use super::{reply::Refusal, serve::Link};
use crate::{framing::Fault, sniff, types::HostName};

/// For whom a request is; or why it is not to be passed on.
pub(super) fn request(request: &Request<Incoming>, link: &Link) -> Result<HostName, Refusal> {
    if let Some(fault) = link.take_fault() {
        return Err(Refusal::bad(fault));
    }
    if request.version() == Version::HTTP_2 {
        check_http2(request, link)?;
    }
    if *request.method() == Method::CONNECT && !asks_for_allowed(request, link) {
        return Err(Refusal::method());
    }
    link.host_of(request).ok_or(Refusal::bad(Fault::Host))
}

/// Whether it asks for another protocol on a stream of its own (RFC 8441 section 4), one that the
/// configuration allows.
fn asks_for_allowed<B>(request: &Request<B>, link: &Link) -> bool {
    let state = link.worker.state();
    let allowed = &state.http.upgrades;
    let asked = request.extensions().get::<Protocol>();
    asked.is_some_and(|it| allowed.iter().any(|name| name.eq_ignore_ascii_case(it.as_str())))
}

/// What the judge of an HTTP/1 stream has looked at there.
fn check_http2(request: &Request<Incoming>, link: &Link) -> Result<(), Refusal> {
    let limits = link.worker.state().http.heads;
    let (fields, target) = (request.headers(), request.uri());
    if fields.len() > limits.fields {
        return Err(Refusal::bad(Fault::TooManyFields));
    }
    if target.path_and_query().is_some_and(|it| it.as_str().len() > limits.target) {
        return Err(Refusal::bad(Fault::TargetTooLong));
    }
    let starts_well = target.path().starts_with('/')
        || target.path() == "*" && *request.method() == Method::OPTIONS
        || *request.method() == Method::CONNECT;
    if !starts_well || !target.path().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::bad(Fault::Target));
    }
    let expects = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if !fields.get_all(EXPECT).iter().all(expects) {
        return Err(Refusal::bad(Fault::Expectation));
    }
    let mut hosts = fields.get_all(HOST).iter();
    let authority = target.authority().map(|authority| authority.as_str().as_bytes());
    match (authority, hosts.next(), hosts.next()) {
        (_, _, Some(_)) => Err(Refusal::bad(Fault::Host)),
        (Some(authority), Some(host), None) if !authority.eq_ignore_ascii_case(host.as_bytes()) => {
            Err(Refusal::bad(Fault::Host))
        }
        _ => Ok(()),
    }
}

/// Counts down Max-Forwards (RFC 9110 section 7.6.2); `false`: it ends here.
pub(super) fn forwards(request: &mut Request<Incoming>) -> Result<bool, Refusal> {
    let mut values = request.headers().get_all(MAX_FORWARDS).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        let several = request.headers().get_all(MAX_FORWARDS).iter().count() > 1;
        return if several { Err(Refusal::bad(Fault::FieldValue)) } else { Ok(true) };
    };
    let number = value.to_str().ok().filter(|text| text.bytes().all(|it| it.is_ascii_digit()));
    let left = number.and_then(|text| text.parse::<u32>().ok());
    match left.ok_or(Refusal::bad(Fault::FieldValue))? {
        0 if *request.method() == Method::TRACE => Err(Refusal::method()),
        0 => Ok(false),
        left => {
            request.headers_mut().insert(MAX_FORWARDS, HeaderValue::from(left - 1));
            Ok(true)
        }
    }
}

/// The host of a request, by the rule that its connection was judged by.
pub(super) fn host_of<B>(request: &Request<B>) -> Option<HostName> {
    let fields = request.headers().get_all(HOST).iter();
    sniff::host_of(request.uri(), fields.map(HeaderValue::as_bytes))
}

#[cfg(test)]
mod tests;
