//! The answers dispa gives itself.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{Either, Full};

use super::finish::{Record, Recorded};
use crate::{types::Outcome, upstream::PooledBody};

/// The body of any answer: a backend's, or a text of ours.
pub(super) type AnyBody = Recorded<Either<PooledBody, Full<Bytes>>>;

/// The answer that `outcome` gives a client, and the end of its record.
pub(super) fn refusal(outcome: Outcome, mut record: Record) -> Response<AnyBody> {
    let (status, text) = words(outcome);
    record.outcome(outcome);
    record.status(status);
    let mut response = Response::new(Recorded::new(Either::Right(Full::from(text)), record));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

fn words(outcome: Outcome) -> (StatusCode, &'static str) {
    match outcome {
        Outcome::NoRule => (StatusCode::NOT_FOUND, "Domain not found\n"),
        Outcome::NoBackend => (StatusCode::SERVICE_UNAVAILABLE, "Service unavailable\n"),
        Outcome::BadRequest => (StatusCode::BAD_REQUEST, "Bad request\n"),
        Outcome::Timeout => (StatusCode::GATEWAY_TIMEOUT, "Gateway timeout\n"),
        Outcome::BackendUnreachable
        | Outcome::BackendFailed
        | Outcome::OriginUnreachable
        | Outcome::OriginFailed => (StatusCode::BAD_GATEWAY, "Bad gateway\n"),
        Outcome::Ok
        | Outcome::Relayed
        | Outcome::ClientAborted
        | Outcome::Stopped
        | Outcome::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "Internal error\n"),
    }
}
