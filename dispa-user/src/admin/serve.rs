//! The daemon's side of the unix socket: HTTP/1.1, answers in JSON.

use std::{path::Path, sync::Arc, time::Instant};

use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body::Body;
use serde::{Deserialize, Serialize};
use tokio::{
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};

use super::{
    Explanation, Facts, Setup, Subject,
    conversation::{self, Answer, json},
    explain,
    guard::Guard,
    query,
    socket_file::{SocketError, SocketFile},
    view::{self, View},
};
use crate::{
    config::Config,
    state::{Live, Reloaded, Reloader},
};

/// The path that explains.
pub(super) const EXPLAIN: &str = "/v1/explain";

/// The path that has the configuration read again; with the query `wait`, answered when that is done.
pub(super) const RELOAD: &str = "/v1/reload";

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
    guard: Guard,
    view: View,
}

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
        let desk = Arc::new(Desk { guard, view: View::new(live, reloader) });
        let serve = conversation::serve(listener, move |it| converse(it, Arc::clone(&desk)));
        Ok(Self { task: tokio::spawn(serve), _file: file })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(stream: UnixStream, desk: Arc<Desk>) {
    let admitted = desk.guard.admits(&stream);
    conversation::converse(stream, |request| {
        let desk = Arc::clone(&desk);
        async move {
            if admitted {
                return desk.answer(&request).await;
            }
            let who = "only root, the daemon's user and the socket's group";
            refusal(StatusCode::FORBIDDEN, who)
        }
    })
    .await;
}

impl Desk {
    async fn answer<B: Body>(&self, request: &Request<B>) -> Answer {
        let method = match request.uri().path() {
            RELOAD => Method::POST,
            path if path == EXPLAIN || view::PATHS.contains(&path) => Method::GET,
            _ => {
                let paths = [&[EXPLAIN, RELOAD], &view::PATHS[..]].concat().join(", ");
                return refusal(StatusCode::NOT_FOUND, &format!("there is only {paths}"));
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
        let query = request.uri().query().unwrap_or_default();
        match request.uri().path() {
            RELOAD => self.reload(query == "wait").await,
            EXPLAIN => self.explain_query(query),
            path => self.view.answer(path, query).await,
        }
    }

    /// Waits for the end of it, if that is wanted.
    async fn reload(&self, waits: bool) -> Answer {
        if !waits && self.view.reloader.is_due() {
            return json(StatusCode::ACCEPTED, &ReloadAnswer::default());
        }
        if self.view.reloader.is_full() {
            return refusal(StatusCode::SERVICE_UNAVAILABLE, "too many wait for a reload already");
        }
        let reloader = Arc::clone(&self.view.reloader);
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
        let Some(text) = query::value(query, "of") else {
            return refusal(StatusCode::BAD_REQUEST, "the query must be of=NAME, IP or URL");
        };
        match Subject::parse(&text) {
            Ok(subject) => json(StatusCode::OK, &self.explain(&subject)),
            Err(error) => refusal(StatusCode::BAD_REQUEST, &error.to_string()),
        }
    }

    fn explain(&self, subject: &Subject) -> Explanation {
        let state = self.view.live.state();
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

#[cfg(test)]
mod tests;
