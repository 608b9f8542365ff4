//! The daemon's side of the unix socket: HTTP/1.1, answers in JSON.

use std::{
    convert::Infallible, io, os::unix::net::UnixListener as StdListener, path::Path, sync::Arc,
    time::Instant,
};

use futures_util::stream;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, StreamBody};
use serde::{Deserialize, Serialize};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::oneshot,
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
    state::{Live, Reloaded, Reloader, Upgrader},
};

/// The path that explains.
pub(super) const EXPLAIN: &str = "/v1/explain";

/// The path that has the configuration read again; with the query `wait`, answered when that is done.
pub(super) const RELOAD: &str = "/v1/reload";

/// The path that has another daemon take over.
pub(super) const UPGRADE: &str = "/v1/upgrade";

/// The daemon's socket. Dropping it ends what is being answered and removes its file.
#[derive(Debug)]
pub struct Socket {
    task: Served,
    leave: oneshot::Sender<()>,
    shared: StdListener,
    file: SocketFile,
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
    /// Another program is at the daemon's path: nothing was read, for an upgrade is due.
    #[serde(default)]
    pub upgrade_due: bool,
}

impl ReloadAnswer {
    fn of(reloaded: Reloaded) -> Self {
        let Reloaded { generation, needs_restart, warnings } = reloaded;
        let needs_restart = needs_restart.into_iter().map(str::to_owned).collect();
        Self { generation: Some(generation), needs_restart, warnings, upgrade_due: false }
    }
}

/// What an upgrade did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpgradeAnswer {
    /// This process has taken over.
    Upgraded(u32),
    /// None has, for this reason; all is as before.
    Refused(String),
}

/// What answers are made of.
#[derive(Debug)]
struct Desk {
    guard: Guard,
    view: View,
    upgrader: Arc<Upgrader>,
}

impl Socket {
    /// Opens the socket that the configuration asks for, or goes on with `handed`, the predecessor's, and
    /// serves it on this runtime. A daemon without one still does its work: a failure is a warning.
    #[must_use]
    pub fn open(
        config: &Config,
        live: &Arc<Live>,
        reloader: &Arc<Reloader>,
        upgrader: &Arc<Upgrader>,
        handed: Option<StdListener>,
    ) -> Option<Self> {
        let path = config.admin.socket.as_deref()?;
        let desk = Desk {
            guard: Guard::new(path),
            view: View::new(live, reloader),
            upgrader: Arc::clone(upgrader),
        };
        match Self::try_open(path, desk, handed) {
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

    fn try_open(path: &Path, desk: Desk, handed: Option<StdListener>) -> Result<Self, SocketError> {
        let (listener, file) = match handed.and_then(|it| SocketFile::adopt(path, it)) {
            Some(adopted) => adopted,
            None => SocketFile::create(path)?,
        };
        let failed =
            |source| SocketError::System { action: "serve", path: file.path().to_owned(), source };
        let shared = listener.try_clone().map_err(failed)?;
        let listener = UnixListener::from_std(listener).map_err(failed)?;
        let desk = Arc::new(desk);
        let (leave, left) = oneshot::channel();
        // Dropped or used, either way it is over.
        let over = async move { drop(left.await) };
        let serve =
            conversation::serve_until(over, listener, move |it| converse(it, Arc::clone(&desk)));
        Ok(Self { task: Served(tokio::spawn(serve)), leave, shared, file })
    }

    /// The same listener by another descriptor, for a successor.
    pub fn share(&self) -> io::Result<StdListener> {
        self.shared.try_clone()
    }

    /// The file is a successor's. Ends when everyone has an answer who has asked.
    pub async fn leave(self) {
        let Self { task, leave, shared, file } = self;
        file.leave();
        drop((leave, shared));
        // A panic has been told of.
        let mut task = task;
        let _ = (&mut task.0).await;
    }
}

/// Dropping it ends what it serves.
#[derive(Debug)]
struct Served(JoinHandle<()>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.abort();
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
            RELOAD | UPGRADE => Method::POST,
            path if path == EXPLAIN || view::PATHS.contains(&path) => Method::GET,
            _ => {
                let paths = [&[EXPLAIN, RELOAD, UPGRADE], &view::PATHS[..]].concat().join(", ");
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
            UPGRADE => self.upgrade(),
            EXPLAIN => self.explain_query(query),
            path => self.view.answer(path, query).await,
        }
    }

    /// Has another daemon take over, which takes its time; a line tells how that went.
    fn upgrade(&self) -> Answer {
        let upgrader = Arc::clone(&self.upgrader);
        let line = stream::once(async move {
            let answer = upgrader
                .upgrade()
                .await
                .map_or_else(UpgradeAnswer::Refused, UpgradeAnswer::Upgraded);
            let mut line = serde_json::to_vec(&answer).unwrap_or_default();
            line.push(b'\n');
            Ok::<_, Infallible>(Frame::data(line.into()))
        });
        conversation::goes_on("application/json", StreamBody::new(line).boxed_unsync())
    }

    /// Waits for the end of it, if that is wanted.
    async fn reload(&self, waits: bool) -> Answer {
        if self.upgrader.is_due() {
            let due = ReloadAnswer { upgrade_due: true, ..ReloadAnswer::default() };
            return json(StatusCode::OK, &due);
        }
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
