//! The answers dispa gives itself.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{ACCEPT, ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::{Either, Full};
use uuid::Uuid;

use super::{
    finish::{Record, Recorded},
    serve::{Link, LinkKind, UnderWay},
};
use crate::{framing::Fault, types::Outcome, upstream::ResponseBody};

/// The body of any answer: a backend's, or a text of ours.
pub(super) type AnyBody = Recorded<Either<ResponseBody, Full<Bytes>>>;

/// By which an answer of ours is found again in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// RFC 9110 section 9.3, all but CONNECT.
const METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE");

/// Why a request is not answered by a backend, and what its client is told.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    outcome: Outcome,
    status: StatusCode,
    text: &'static str,
    fault: Option<Fault>,
}

impl Refusal {
    /// What `outcome` means to a client.
    pub(super) fn of(outcome: Outcome) -> Self {
        let (status, text) = match outcome {
            Outcome::NoRule => (StatusCode::NOT_FOUND, "Domain not found"),
            Outcome::NoBackend | Outcome::BackendUnreachable => {
                (StatusCode::SERVICE_UNAVAILABLE, "Service unavailable")
            }
            // Who broke a request off may still hear why nothing came of it.
            Outcome::BadRequest | Outcome::ClientAborted => {
                (StatusCode::BAD_REQUEST, "Bad request")
            }
            Outcome::Timeout => (StatusCode::GATEWAY_TIMEOUT, "Gateway timeout"),
            Outcome::ClientTimeout => (StatusCode::REQUEST_TIMEOUT, "Request timeout"),
            Outcome::BackendFailed | Outcome::OriginUnreachable | Outcome::OriginFailed => {
                (StatusCode::BAD_GATEWAY, "Bad gateway")
            }
            Outcome::Ok | Outcome::Relayed | Outcome::Stopped | Outcome::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "Internal error")
            }
        };
        Self { outcome, status, text, fault: None }
    }

    /// A request that breaks a rule.
    pub(super) fn bad(fault: Fault) -> Self {
        let (status, text) = match fault {
            Fault::Version => {
                (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "HTTP version not supported")
            }
            Fault::TargetTooLong => (StatusCode::URI_TOO_LONG, "URI too long"),
            Fault::HeadTooLarge | Fault::TooManyFields => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request header fields too large")
            }
            Fault::Expectation => (StatusCode::EXPECTATION_FAILED, "Expectation failed"),
            Fault::Late => return Self::of(Outcome::ClientTimeout),
            _ => (StatusCode::BAD_REQUEST, "Bad request"),
        };
        Self { outcome: Outcome::BadRequest, status, text, fault: Some(fault) }
    }

    /// A method that is not served.
    pub(super) fn method() -> Self {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self { outcome: Outcome::BadRequest, status, text: "Method not allowed", fault: None }
    }
}

/// Writes answers to one request.
#[derive(Debug)]
pub(super) struct Replier {
    under_way: UnderWay,
    /// Whether the client would rather have JSON.
    json: bool,
    /// Whether it sends a body that might go unread.
    has_body: bool,
    http1: bool,
}

impl Replier {
    pub(super) fn to<B: http_body::Body>(request: &Request<B>, link: &Link) -> Self {
        let asks = |value: &HeaderValue| value.as_bytes().windows(4).any(|part| part == b"json");
        Self {
            under_way: link.begin(),
            json: request.headers().get_all(ACCEPT).iter().any(asks),
            has_body: !request.body().is_end_stream(),
            http1: matches!(link.kind, LinkKind::Http1 { .. }),
        }
    }

    /// The exchange goes on in a response: it ends with that.
    pub(super) fn into_under_way(self) -> UnderWay {
        self.under_way
    }

    /// An answer that says no.
    pub(super) fn refuse(self, refusal: &Refusal, mut record: Record) -> Response<AnyBody> {
        let Refusal { outcome, status, text, fault } = *refusal;
        let id = Uuid::now_v7();
        record.outcome(outcome);
        record.status(status);
        record.refusal(id, fault);
        let detail = fault.map_or_else(String::new, |fault| fault.to_string());
        let body =
            if self.json { problem(status, text, &detail, id) } else { plain(text, &detail, id) };
        // Whatever was sent behind a request that is refused is not to be taken for another one.
        let closes =
            self.http1 && (self.has_body || fault.is_some() || outcome == Outcome::ClientTimeout);
        let kind = if self.json { "application/problem+json" } else { "text/plain; charset=utf-8" };
        let mut response = self.respond(status, body, record);
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Ok(id) = HeaderValue::try_from(id.to_string()) {
            fields.insert(REQUEST_ID, id);
        }
        if closes {
            fields.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            fields.insert(ALLOW, METHODS);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            fields.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    /// What an OPTIONS request is told that was to come no farther.
    pub(super) fn options(self, mut record: Record) -> Response<AnyBody> {
        record.outcome(Outcome::Ok);
        record.status(StatusCode::NO_CONTENT);
        let mut response = self.respond(StatusCode::NO_CONTENT, String::new(), record);
        response.headers_mut().insert(ALLOW, METHODS);
        response
    }

    fn respond(self, status: StatusCode, body: String, record: Record) -> Response<AnyBody> {
        let body = Either::Right(Full::from(body));
        let mut response = Response::new(Recorded::new(body, record, self.under_way));
        *response.status_mut() = status;
        response
    }
}

fn plain(text: &str, detail: &str, id: Uuid) -> String {
    let mut body = format!("{text}\n");
    if !detail.is_empty() {
        // Writing to a string cannot fail.
        let _ = writeln!(body, "{detail}");
    }
    let _ = writeln!(body, "request {id}");
    body
}

/// RFC 9457 section 3.
fn problem(status: StatusCode, text: &str, detail: &str, id: Uuid) -> String {
    let mut problem = serde_json::json!({
        "title": text,
        "status": status.as_u16(),
        "instance": format!("urn:uuid:{id}"),
    });
    if let (false, Some(problem)) = (detail.is_empty(), problem.as_object_mut()) {
        problem.insert("detail".to_owned(), detail.into());
    }
    problem.to_string()
}
