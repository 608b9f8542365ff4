//! Step 5: the request goes to the backend, the response comes back.

use std::rc::Rc;

use http::{HeaderValue, Request, Response, StatusCode, Uri, Version, header::HOST};
use http_body_util::Either;
use hyper::body::Incoming;

use super::{
    finish::{Record, Recorded},
    headers::{put_websocket, remove_one_hop},
    reply::{AnyBody, refusal},
    serve::Client,
    upgrade::{self, Upgrade},
    worker::Worker,
};
use crate::{
    types::Outcome,
    upstream::{Backend, Lease, PooledBody, UpstreamError},
};

/// A request made one of ours.
#[derive(Debug)]
pub(super) struct Prepared {
    request: Request<Incoming>,
    /// The client's side of the WebSocket it asks for.
    upgrade: Option<Upgrade>,
}

/// Gives the request its origin form, our hop's fields, and the host it is for; `None` where its
/// target has no such form.
pub(super) fn prepare(mut request: Request<Incoming>) -> Option<Prepared> {
    let target = origin_form(request.uri())?;
    if let Some(authority) = request.uri().authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
    *request.uri_mut() = target;
    let asked = remove_one_hop(request.headers_mut());
    // In HTTP/1.0 there is none (RFC 9110 section 7.8).
    let upgrade = (asked && request.version() == Version::HTTP_11).then(|| {
        put_websocket(request.headers_mut());
        Upgrade::asked(&mut request)
    });
    *request.version_mut() = Version::HTTP_11;
    Some(Prepared { request, upgrade })
}

/// The target as its own server takes it (RFC 9112 section 3.2.1); an empty path is written as `/`.
fn origin_form(target: &Uri) -> Option<Uri> {
    target.path_and_query().cloned().map(Uri::from)
}

/// Forwards to `backend`, which counts as busy until the response has ended.
pub(super) async fn to_backend(
    Prepared { request, upgrade }: Prepared,
    backend: &Backend,
    lease: Lease,
    mut record: Record,
    worker: &Rc<Worker>,
) -> Response<AnyBody> {
    record.lease(lease);
    let limit = worker.state.request_timeout;
    let sent = worker.connections.send(backend, request, limit).await;
    answer(sent, upgrade, record, worker)
}

/// Forwards a request that no rule is for to where its connection was going. At the explicit door
/// there is no such place.
pub(super) async fn to_origin(
    Prepared { request, upgrade }: Prepared,
    client: &Client,
    record: Record,
    worker: &Rc<Worker>,
) -> Response<AnyBody> {
    let Some(arrival) = client.arrival() else {
        return refusal(Outcome::NoRule, record);
    };
    let limit = worker.state.request_timeout;
    let sent = worker.connections.send_once(arrival.origin.0, request, limit).await;
    answer(sent, upgrade, record, worker)
}

fn answer(
    sent: Result<Response<PooledBody>, UpstreamError>,
    upgrade: Option<Upgrade>,
    mut record: Record,
    worker: &Rc<Worker>,
) -> Response<AnyBody> {
    let mut response = match sent {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(%error, "no answer");
            return refusal(outcome_of(&error), record);
        }
    };
    record.status(response.status());
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(upgrade) = upgrade else {
            // Nobody asked for it: what follows on that connection is no HTTP.
            return refusal(Outcome::BackendFailed, record);
        };
        return upgrade::switch(response, upgrade, record, worker);
    }
    remove_one_hop(response.headers_mut());
    // Ours, not the backend's; hyper lowers it for a client of HTTP/1.0.
    *response.version_mut() = Version::HTTP_11;
    response.map(|body| Recorded::new(Either::Left(body), record))
}

fn outcome_of(error: &UpstreamError) -> Outcome {
    match error {
        UpstreamError::Unresolved { .. } | UpstreamError::Unreachable(_) => {
            Outcome::BackendUnreachable
        }
        UpstreamError::Failed(_) => Outcome::BackendFailed,
        UpstreamError::TimedOut(_) => Outcome::Timeout,
    }
}

#[cfg(test)]
mod tests;
