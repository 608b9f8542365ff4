//! The daemon's side of the unix socket: HTTP/1.1, answers in JSON.

use std::{
    convert::Infallible,
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use super::{
    Explanation, Facts, Setup, Status, Subject, explain,
    guard::Guard,
    socket_file::{SocketError, SocketFile},
};
use crate::{config::Config, state::State};

/// The path that explains.
pub(super) const EXPLAIN: &str = "/v1/explain";

/// The path that tells how the pools are.
pub(super) const STATUS: &str = "/v1/status";

/// Connections served at once; more wait to be accepted.
const MOST_CONNECTIONS: usize = 32;

/// The longest a connection may take, from accept to the end of its one answer.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// Bytes of a request's head: the least that hyper allows, and many times what a subject takes.
const MOST_HEAD_BYTES: usize = 8192;

/// The pause after an accept that failed for want of something (descriptors, memory).
const BACK_OFF: Duration = Duration::from_millis(50);

/// The daemon's socket. Dropping it ends what is being answered and removes its file.
#[derive(Debug)]
pub struct Socket {
    task: JoinHandle<()>,
    _file: SocketFile,
}

/// What a refusal says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub(super) error: String,
}

/// What answers are made of.
#[derive(Debug)]
struct Desk {
    setup: Setup,
    state: Arc<State>,
    guard: Guard,
}

type Answer = Response<Full<Bytes>>;

impl Socket {
    /// Opens the socket that the configuration asks for, and serves it on this runtime. A daemon
    /// without one still does its work: a failure is a warning.
    #[must_use]
    pub fn open(config: &Config, state: &Arc<State>) -> Option<Self> {
        let path = config.admin.socket.as_deref()?;
        match Self::try_open(path, Guard::new(path), config, state) {
            Ok(socket) => {
                tracing::info!(path = %path.display(), "answering");
                Some(socket)
            }
            Err(error) => {
                tracing::warn!(%error, "no admin socket: `dispa explain` sees the file alone, `dispa status` nothing");
                None
            }
        }
    }

    fn try_open(
        path: &Path,
        guard: Guard,
        config: &Config,
        state: &Arc<State>,
    ) -> Result<Self, SocketError> {
        let (listener, file) = SocketFile::create(path)?;
        let listener = UnixListener::from_std(listener).map_err(|source| SocketError::System {
            action: "serve",
            path: file.path().to_owned(),
            source,
        })?;
        let desk = Desk { setup: Setup::of(config), state: Arc::clone(state), guard };
        Ok(Self { task: tokio::spawn(serve(listener, Arc::new(desk))), _file: file })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts until it is dropped, and what it serves with it.
async fn serve(listener: UnixListener, desk: Arc<Desk>) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut conversations = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        while conversations.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = Arc::clone(&desk);
                conversations.spawn(async move {
                    converse(stream, desk).await;
                    drop(place);
                });
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => sleep(BACK_OFF).await,
        }
    }
}

/// One connection: one request, one answer.
async fn converse(stream: UnixStream, desk: Arc<Desk>) {
    let admitted = desk.guard.admits(&stream);
    let service = service_fn(|request| {
        let answer = if admitted {
            desk.answer(&request)
        } else {
            refusal(StatusCode::FORBIDDEN, "only root, the daemon's user and the socket's group")
        };
        async { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MOST_HEAD_BYTES)
        // The limit below is for all of it.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service);
    // What goes wrong on the way is the asker's business, who sees it.
    let _ = timeout(LIMIT, connection).await;
}

impl Desk {
    fn answer<B: Body>(&self, request: &Request<B>) -> Answer {
        let path = request.uri().path();
        if ![EXPLAIN, STATUS].contains(&path) {
            let there_is = format!("there is only {EXPLAIN}?of=... and {STATUS}");
            return refusal(StatusCode::NOT_FOUND, &there_is);
        }
        if request.method() != Method::GET {
            let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, "only GET");
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
            return answer;
        }
        if !request.body().is_end_stream() {
            return refusal(StatusCode::PAYLOAD_TOO_LARGE, "a question has no body");
        }
        if path == STATUS {
            return json(StatusCode::OK, &Status::of(&self.state));
        }
        let Some(text) = asked(request.uri().query().unwrap_or_default()) else {
            return refusal(StatusCode::BAD_REQUEST, "the query must be of=NAME, IP or URL");
        };
        match Subject::parse(&text) {
            Ok(subject) => json(StatusCode::OK, &self.explain(&subject)),
            Err(error) => refusal(StatusCode::BAD_REQUEST, &error.to_string()),
        }
    }

    fn explain(&self, subject: &Subject) -> Explanation {
        let mut ports: Vec<u16> = self.setup.intercept.ports.clone();
        let cases = subject.cases(&ports);
        ports.retain(|port| cases.iter().any(|(_, asked)| asked == port));
        let facts = self
            .state
            .interception
            .as_ref()
            .map(|interception| Facts::gather(subject, &ports, interception, Instant::now()));
        explain(subject, &self.setup, Some(&facts.unwrap_or_default()))
    }
}

fn refusal(status: StatusCode, error: &str) -> Answer {
    json(status, &Refusal { error: error.to_owned() })
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    let (status, text) = match serde_json::to_vec(value) {
        Ok(text) => (status, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string().into_bytes()),
    };
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// The value of `of` in a query. `None` where there is not exactly one, or it is not UTF-8.
fn asked(query: &str) -> Option<String> {
    let mut values = query.split('&').filter_map(|pair| pair.strip_prefix("of="));
    let value = values.next().filter(|_| values.next().is_none())?;
    percent_decoded(value)
}

/// RFC 3986 section 2.1; a `%` without two hexadecimal digits after it stands for itself.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'%').then(|| after.split_first_chunk::<2>()).flatten();
        let decoded = escaped.and_then(|(digits, after)| Some((hexadecimal(*digits)?, after)));
        let (byte, after) = decoded.unwrap_or((first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

fn hexadecimal(digits: [u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high? * 16 + low?).ok()
}

#[cfg(test)]
mod tests;
