//! Step 5: the request goes to the backend, the response comes back.

use std::time::Instant;

use http::{
    HeaderValue, Request, Response, StatusCode, Uri, Version,
    header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST, SET_COOKIE, TE, TRANSFER_ENCODING},
};
use http_body::Body as _;
use http_body_util::Either;
use hyper::body::Incoming;

use super::{
    finish::{Record, Recorded},
    forwarded,
    headers::remove_one_hop,
    interim,
    reply::{AnyBody, Refusal, Replier},
    serve::{Link, LinkKind},
    upgrade::{self, Asked},
    worker::Worker,
};
use crate::{
    config::{OnNoBackend, Protocol},
    framing::Fault,
    state::State,
    types::Outcome,
    upstream::{
        Backend, BackendPool, Backends, Outgoing, ResponseBody, Sending, UpstreamError, Wanted,
        Worth, absolute_form, head_of, rename,
    },
};

/// Where a request may go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route<'p> {
    pub(super) state: &'p State,
    pub(super) pool: &'p BackendPool,
    pub(super) wanted: Wanted,
    /// The backend that was picked for it.
    pub(super) first: &'p Backend,
}

/// Forwards to the backend that was picked; to another one, where that cannot be reached or goes away;
/// to the original destination, where none can be reached and the configuration says so.
pub(super) async fn to_backend(
    mut request: Request<Incoming>,
    route: Route<'_>,
    link: &Link,
    replier: Replier,
    mut record: Record,
) -> Response<AnyBody> {
    let Worker { connections, retries, .. } = &*link.worker;
    let Route { state, first, .. } = route;
    let passes = state.on_no_backend == OnNoBackend::Passthrough && link.client.arrival().is_some();
    // As the client sent it.
    let original = passes.then(|| Box::new(head_of(&request)));
    let interim = interim::sink(&request, link);
    let asked = match prepare(&mut request, first.protocol, state) {
        Ok(asked) => asked,
        Err(refusal) => return replier.refuse(&refusal, record),
    };
    forwarded::tell(&mut request, link);
    let clients_own = host_field(&request);
    if let Some(own) = &first.host_field {
        rename(&mut request, own);
    }
    let mut sending =
        connections.begin(Outgoing { request, interim, limit: state.request_timeout });
    retries.request();
    record.request(sending.progress());
    let mut sent = connections.send(first, &mut sending).await;
    let mut answering = first;
    note(&state.backends, first, &sending, &sent);
    if let Err(error) = &sent
        && sending.may_go_elsewhere(error)
    {
        // What is rare is not to make every exchange larger.
        let elsewhere = elsewhere(route, sent, &mut sending, clients_own, link, &mut record);
        (sent, answering) = Box::pin(elsewhere).await;
    }
    let unanswered = match (&sent, original) {
        (Err(error), Some(original)) if error.is_unreachable() => {
            sending.into_body().map(|body| original.map(|()| body))
        }
        _ => {
            // It may hold what is left of the client's body.
            drop(sending);
            None
        }
    };
    if let Some(request) = unanswered {
        record.no_backend();
        return Box::pin(to_origin(request, link, state, replier, record)).await;
    }
    if let Ok(response) = &mut sent
        && let Some(cookie) = route.pool.cookie(answering, route.wanted.wish)
    {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    answer(sent, asked, link, state, replier, record).await
}

/// What became of a request, and the backend that it became of.
type Sent<'p> = (Result<Response<ResponseBody>, UpstreamError>, &'p Backend);

/// Sends what the first backend did not answer to one after the other of the rest that speak the same.
async fn elsewhere<'p>(
    route: Route<'p>,
    first: Result<Response<ResponseBody>, UpstreamError>,
    sending: &mut Sending,
    clients_own: Option<HeaderValue>,
    link: &Link,
    record: &mut Record,
) -> Sent<'p> {
    let Worker { connections, retries, .. } = &*link.worker;
    let state = route.state;
    let mut tried = vec![route.first.number];
    let mut last: Sent<'p> = (first, route.first);
    while !sending.left().is_zero() {
        let is_next = |it: &Backend| {
            let like = it.scheme == route.first.scheme && it.protocol == route.first.protocol;
            like && !tried.contains(&it.number)
        };
        let has_room = |it: &Backend| connections.has_room(it);
        let picked = route.pool.pick(route.wanted, is_next, has_room);
        let Some((backend, lease)) = picked else { break };
        if !sending.is_unsent() && !retries.retry(Instant::now()) {
            state.note_retry_refused();
            break;
        }
        record.backend(backend, lease);
        if let Some(host) = backend.host_field.as_ref().or(clients_own.as_ref()) {
            sending.rename(host);
        }
        let sent = connections.send(backend, sending).await;
        note(&state.backends, backend, sending, &sent);
        last = (sent, backend);
        match &last.0 {
            Err(error) if sending.may_go_elsewhere(error) => tried.push(backend.number),
            _ => break,
        }
    }
    last
}

/// Tells the pools what `backend` is worth.
fn note(
    backends: &Backends,
    backend: &Backend,
    sending: &Sending,
    sent: &Result<Response<ResponseBody>, UpstreamError>,
) {
    let worth = match sent {
        Ok(response) if is_overloaded(response.status()) => Worth::Failure,
        Ok(response) if response.status().is_server_error() => Worth::Error,
        Ok(_) => Worth::Good,
        Err(error) if sending.is_blamed_on_backend(error) => Worth::Failure,
        Err(_) => return,
    };
    backends.exchanged(backend, sending.waited(), worth);
}

/// Whether a backend says that it cannot answer anything, or that nobody behind it can. A 500 may be
/// the request's fault.
fn is_overloaded(status: StatusCode) -> bool {
    use StatusCode as S;
    matches!(status, S::BAD_GATEWAY | S::SERVICE_UNAVAILABLE | S::GATEWAY_TIMEOUT)
}

/// Forwards a request that no rule is for to where its connection was going. At the explicit door
/// there is no such place.
pub(super) async fn to_origin(
    mut request: Request<Incoming>,
    link: &Link,
    state: &State,
    replier: Replier,
    mut record: Record,
) -> Response<AnyBody> {
    let Some(arrival) = link.client.arrival() else {
        return replier.refuse(&Refusal::of(Outcome::NoRule), record);
    };
    let protocol =
        if request.version() == Version::HTTP_2 { Protocol::Http2 } else { Protocol::Http1 };
    let interim = interim::sink(&request, link);
    let asked = match prepare(&mut request, protocol, state) {
        Ok(asked) => asked,
        Err(refusal) => return replier.refuse(&refusal, record),
    };
    let outgoing = Outgoing { request, interim, limit: state.request_timeout };
    let connections = &link.worker.connections;
    let mut sending = connections.begin(outgoing);
    record.request(sending.progress());
    let sent = connections.send_once(arrival.origin.0, &mut sending).await;
    drop(sending);
    answer(sent, asked, link, state, replier, record).await
}

/// Gives the request the form of the next hop. Returns the change of protocol that it asks for.
fn prepare(
    request: &mut Request<Incoming>,
    protocol: Protocol,
    state: &State,
) -> Result<Option<Asked>, Refusal> {
    let http = &state.http;
    let formless = || Refusal::bad(Fault::Target);
    let host = host_field(request).ok_or_else(formless)?;
    let from = request.version();
    let trailers = protocol == Protocol::Http2 && wants_trailers(request);
    let asked = Asked::by(request, &http.upgrades);
    remove_one_hop(request.headers_mut());
    forwarded::via(request.headers_mut(), from, http);
    match protocol {
        Protocol::Http1 => {
            if from == Version::HTTP_2 {
                join_cookies(request);
            }
            let target = origin_form(request.uri()).ok_or_else(formless)?;
            *request.uri_mut() = target;
            *request.version_mut() = Version::HTTP_11;
            request.headers_mut().insert(HOST, host);
            say_chunked(request);
        }
        Protocol::Http2 => {
            let target = absolute_form(request.uri(), &host).ok_or_else(formless)?;
            *request.uri_mut() = target;
            *request.version_mut() = Version::HTTP_2;
            request.headers_mut().remove(HOST);
            // An interim response of the backend would not be seen here.
            request.headers_mut().remove(EXPECT);
            if trailers {
                request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
            }
        }
    }
    if let Some(asked) = &asked {
        asked.put(request, protocol);
    }
    Ok(asked)
}

/// The Host that the next hop is told: the authority of the target, else the client's own.
fn host_field(request: &Request<Incoming>) -> Option<HeaderValue> {
    match request.uri().authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => request.headers().get(HOST).cloned(),
    }
}

/// The target as its own server takes it (RFC 9112 section 3.2.1); an empty path is written as `/`.
fn origin_form(target: &Uri) -> Option<Uri> {
    target.path_and_query().cloned().map(Uri::from)
}

/// Whether the client takes trailers: the one word of TE that is not about one hop only.
fn wants_trailers(request: &Request<Incoming>) -> bool {
    let values = request.headers().get_all(TE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|it| it.trim().eq_ignore_ascii_case("trailers"))
}

/// HTTP/2 splits Cookie into crumbs; HTTP/1 has one field (RFC 9113 section 8.2.3).
fn join_cookies(request: &mut Request<Incoming>) {
    let mut crumbs = request.headers().get_all(COOKIE).iter();
    let (Some(first), Some(_)) = (crumbs.next(), crumbs.next()) else { return };
    let mut joined = first.as_bytes().to_vec();
    for crumb in request.headers().get_all(COOKIE).iter().skip(1) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        request.headers_mut().insert(COOKIE, joined);
    }
}

/// hyper takes it that a GET without a length has no body, unless it is told.
fn say_chunked(request: &mut Request<Incoming>) {
    if !request.body().is_end_stream() && !request.headers().contains_key(CONTENT_LENGTH) {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

async fn answer(
    sent: Result<Response<ResponseBody>, UpstreamError>,
    asked: Option<Asked>,
    link: &Link,
    state: &State,
    replier: Replier,
    mut record: Record,
) -> Response<AnyBody> {
    let mut response = match sent {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "no answer");
            return replier.refuse(&refusal_of(&error, link), record);
        }
    };
    if let LinkKind::Http1 { hop, .. } = &link.kind {
        hop.answers().await;
    }
    record.status(response.status());
    let http = &state.http;
    if let Some(asked) = asked
        && upgrade::is_agreed(&response)
    {
        return Box::pin(upgrade::switch(response, asked, link, replier, record)).await;
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked for it: what follows on that connection is no HTTP.
        return replier.refuse(&Refusal::of(Outcome::BackendFailed), record);
    }
    let from = response.version();
    remove_one_hop(response.headers_mut());
    forwarded::via(response.headers_mut(), from, http);
    if response.status() == StatusCode::NO_CONTENT {
        // RFC 9110 section 8.6.
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    // Ours, not the backend's; hyper lowers it for a client of HTTP/1.0.
    *response.version_mut() = Version::HTTP_11;
    response.map(|body| Recorded::new(Either::Left(body), record, replier.into_under_way()))
}

fn refusal_of(error: &UpstreamError, link: &Link) -> Refusal {
    let outcome = match error {
        UpstreamError::RequestBroken => match link.take_fault() {
            Some(fault) => return Refusal::bad(fault),
            None => Outcome::ClientAborted,
        },
        UpstreamError::RequestStalled => Outcome::ClientTimeout,
        UpstreamError::Busy => Outcome::NoBackend,
        UpstreamError::Unresolved { .. } | UpstreamError::Unreachable(_) => {
            Outcome::BackendUnreachable
        }
        UpstreamError::Failed(_) | UpstreamError::NoUpgrade => Outcome::BackendFailed,
        UpstreamError::TimedOut(_) => Outcome::Timeout,
    };
    Refusal::of(outcome)
}

#[cfg(test)]
mod tests;
