//! Step 5: the request goes to the backend, the response comes back.

use std::rc::Rc;

use http::{HeaderValue, Request, Response, StatusCode, Uri, Version, header::HOST};
use http_body_util::Either;
use hyper::body::Incoming;

use super::{
    finish::{Record, Recorded},
    headers::{put_upgrade, remove_one_hop},
    reply::{AnyBody, refusal},
    serve::Client,
    upgrade::{self, Upgrade},
    worker::Worker,
};
use crate::{
    types::Outcome,
    upstream::{Backend, Lease, PooledBody, UpstreamError},
};

/// Forwards to `backend`, which counts as busy until the response has ended.
pub(super) async fn to_backend(
    mut request: Request<Incoming>,
    backend: &Backend,
    lease: Lease,
    mut record: Record,
    worker: &Rc<Worker>,
) -> Response<AnyBody> {
    record.lease(lease);
    let upgrade = prepare(&mut request);
    let limit = worker.state.request_timeout;
    let sent = worker.connections.send(backend, request, limit).await;
    answer(sent, upgrade, record, worker)
}

/// Forwards a request that no rule is for to where its connection was going. At the explicit door
/// there is no such place.
pub(super) async fn to_origin(
    mut request: Request<Incoming>,
    client: &Client,
    record: Record,
    worker: &Rc<Worker>,
) -> Response<AnyBody> {
    let Some(arrival) = client.arrival() else {
        return refusal(Outcome::NoRule, record);
    };
    let upgrade = prepare(&mut request);
    let limit = worker.state.request_timeout;
    let sent = worker.connections.send_once(arrival.origin.0, request, limit).await;
    answer(sent, upgrade, record, worker)
}

/// Makes the request one of ours: origin form, our hop's fields, its Host kept.
fn prepare(request: &mut Request<Incoming>) -> Option<Upgrade> {
    if let Some(authority) = request.uri().authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().unwrap_or_else(|_| Uri::from_static("/"));
    *request.version_mut() = Version::HTTP_11;
    let protocol = remove_one_hop(request.headers_mut())?;
    put_upgrade(request.headers_mut(), protocol);
    Some(Upgrade::asked(request))
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
