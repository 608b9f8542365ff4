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
    logs::{self, LOG_STATS, LOGS},
    socket_file::{SocketError, SocketFile},
};
use crate::{
    config::Config,
    state::{Live, Reloaded, Reloader},
    types::percent_decoded,
};

/// The path that explains.
pub(super) const EXPLAIN: &str = "/v1/explain";

/// The path that tells how the pools are.
pub(super) const STATUS: &str = "/v1/status";

/// The path that has the configuration read again; with the query `wait`, answered when that is done.
pub(super) const RELOAD: &str = "/v1/reload";

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

/// What a reload did. Of one that is not waited for nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadAnswer {
    /// The configuration's number, from 1 at the start.
    pub generation: Option<u64>,
    /// The keys that have changed and need a restart: they count as before.
    pub needs_restart: Vec<String>,
    /// What is odd about it.
    pub warnings: Vec<String>,
}

impl ReloadAnswer {
    fn of(reloaded: Reloaded) -> Self {
        let Reloaded { generation, needs_restart, warnings } = reloaded;
        let needs_restart = needs_restart.into_iter().map(str::to_owned).collect();
        Self { generation: Some(generation), needs_restart, warnings }
    }
}

/// What answers are made of.
#[derive(Debug)]
struct Desk {
    live: Arc<Live>,
    reloader: Arc<Reloader>,
    guard: Guard,
}

pub(super) type Answer = Response<Full<Bytes>>;

impl Socket {
    /// Opens the socket that the configuration asks for, and serves it on this runtime. A daemon
    /// without one still does its work: a failure is a warning.
    #[must_use]
    pub fn open(config: &Config, live: &Arc<Live>, reloader: &Arc<Reloader>) -> Option<Self> {
        let path = config.admin.socket.as_deref()?;
        match Self::try_open(path, Guard::new(path), live, reloader) {
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
        live: &Arc<Live>,
        reloader: &Arc<Reloader>,
    ) -> Result<Self, SocketError> {
        let (listener, file) = SocketFile::create(path)?;
        let listener = UnixListener::from_std(listener).map_err(|source| SocketError::System {
            action: "serve",
            path: file.path().to_owned(),
            source,
        })?;
        let (live, reloader) = (Arc::clone(live), Arc::clone(reloader));
        let desk = Desk { live, reloader, guard };
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
        let desk = Arc::clone(&desk);
        async move {
            let answer = if admitted {
                desk.answer(&request).await
            } else {
                let who = "only root, the daemon's user and the socket's group";
                refusal(StatusCode::FORBIDDEN, who)
            };
            Ok::<_, Infallible>(answer)
        }
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
    async fn answer<B: Body>(&self, request: &Request<B>) -> Answer {
        let method = match request.uri().path() {
            EXPLAIN | STATUS | LOGS | LOG_STATS => Method::GET,
            RELOAD => Method::POST,
            _ => {
                let there_is = format!(
                    "there is only {EXPLAIN}?of=..., {STATUS}, {LOGS}, {LOG_STATS} and {RELOAD}"
                );
                return refusal(StatusCode::NOT_FOUND, &there_is);
            }
        };
        if request.method() != method {
            let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, &format!("only {method}"));
            if let Ok(method) = HeaderValue::from_str(method.as_str()) {
                answer.headers_mut().insert(header::ALLOW, method);
            }
            return answer;
        }
        if !request.body().is_end_stream() {
            return refusal(StatusCode::PAYLOAD_TOO_LARGE, "a question has no body");
        }
        match request.uri().path() {
            STATUS => json(StatusCode::OK, &Status::of(&self.live.state(), &self.reloader.last())),
            path @ (LOGS | LOG_STATS) => {
                let query = request.uri().query().unwrap_or_default();
                logs::answer(&self.live.state().ledger, path, query).await
            }
            RELOAD => self.reload(request.uri().query() == Some("wait")).await,
            _ => self.explain_query(request.uri().query().unwrap_or_default()),
        }
    }

    /// Waits for the end of it, if that is wanted.
    async fn reload(&self, waits: bool) -> Answer {
        if !waits && self.reloader.is_due() {
            return json(StatusCode::ACCEPTED, &ReloadAnswer::default());
        }
        if self.reloader.is_full() {
            return refusal(StatusCode::SERVICE_UNAVAILABLE, "too many wait for a reload already");
        }
        let reloader = Arc::clone(&self.reloader);
        // It goes on if whoever asked goes away.
        let reload = tokio::spawn(async move { reloader.reload("asked for").await });
        if !waits {
            return json(StatusCode::ACCEPTED, &ReloadAnswer::default());
        }
        match reload.await {
            Ok(Ok(done)) => json(StatusCode::OK, &ReloadAnswer::of(done)),
            Ok(Err(error)) => refusal(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
            Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    fn explain_query(&self, query: &str) -> Answer {
        let Some(text) = asked(query) else {
            return refusal(StatusCode::BAD_REQUEST, "the query must be of=NAME, IP or URL");
        };
        match Subject::parse(&text) {
            Ok(subject) => json(StatusCode::OK, &self.explain(&subject)),
            Err(error) => refusal(StatusCode::BAD_REQUEST, &error.to_string()),
        }
    }

    fn explain(&self, subject: &Subject) -> Explanation {
        let state = self.live.state();
        let setup = Setup::of(&state.config);
        let mut ports: Vec<u16> = setup.intercept.ports.clone();
        let cases = subject.cases(&ports);
        ports.retain(|port| cases.iter().any(|(_, asked)| asked == port));
        let facts = state
            .interception
            .as_ref()
            .map(|interception| Facts::gather(subject, &ports, interception, Instant::now()));
        explain(subject, &setup, Some(&facts.unwrap_or_default()))
    }
}

pub(super) fn refusal(status: StatusCode, error: &str) -> Answer {
    json(status, &Refusal { error: error.to_owned() })
}

pub(super) fn json<T: Serialize>(status: StatusCode, value: &T) -> Answer {
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
    String::from_utf8(percent_decoded(value)).ok()
}

#[cfg(test)]
mod tests;
