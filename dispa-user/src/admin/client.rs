//! The other side of the unix socket: asks a running daemon.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{net::UnixStream, task::JoinHandle, time::timeout};

use super::{
    Activity, Explanation, ReloadAnswer, Status, Subject, UpgradeAnswer,
    conversation::LIMIT,
    logs::{LOG_STATS, LOGS, LogQuestion},
    query,
    serve::{EXPLAIN, RELOAD, Refusal, UPGRADE},
    view::{ACTIVITY, EXCHANGES, STATUS},
};
use crate::{
    exchange::Filter,
    sink::{Page, Stats},
};

/// More than any explanation: 50 addresses, each with a thousand owners.
const MOST_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Why no daemon answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody is there, or we may not go there.
    #[error("no daemon can be asked at {}: {source}", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody is there and says no.
    #[error("the daemon at {} refuses: {reason} ({status})", path.display())]
    Refused {
        /// The socket.
        path: PathBuf,
        /// Its answer's status.
        status: StatusCode,
        /// What it says.
        reason: String,
    },
    /// It took too long.
    #[error("the daemon at {} does not answer", path.display())]
    Silent {
        /// The socket.
        path: PathBuf,
    },
    /// It has ended, or was ended.
    #[error("the daemon at {} is gone", path.display())]
    Gone {
        /// The socket.
        path: PathBuf,
    },
    /// Whoever is there speaks otherwise: a daemon of another version, perhaps.
    #[error("what answers at {} cannot be understood: {reason}", path.display())]
    Foreign {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Asks the daemon at `socket` to explain.
pub async fn ask(socket: &Path, subject: &Subject) -> Result<Explanation, AskError> {
    // Every character of a subject may stand in a query as it is.
    fetch(socket, Method::GET, &format!("{EXPLAIN}?of={subject}")).await
}

/// Asks the daemon at `socket` how its pools are.
pub async fn status(socket: &Path) -> Result<Status, AskError> {
    fetch(socket, Method::GET, STATUS).await
}

/// Asks the daemon at `socket` for a page of its traffic log.
pub async fn logs(socket: &Path, question: &LogQuestion) -> Result<Page, AskError> {
    fetch(socket, Method::GET, &format!("{LOGS}?{}", question.to_query())).await
}

/// Asks the daemon at `socket` how the exchanges of its traffic log went.
pub async fn log_stats(socket: &Path, question: &LogQuestion) -> Result<Vec<Stats>, AskError> {
    fetch(socket, Method::GET, &format!("{LOG_STATS}?{}", question.to_query())).await
}

/// Has the daemon at `socket` read its configuration again, and waits for the end of it, if that is
/// wanted.
pub async fn reload(socket: &Path, waits: bool) -> Result<ReloadAnswer, AskError> {
    let query = if waits { "?wait" } else { "" };
    fetch(socket, Method::POST, &format!("{RELOAD}{query}")).await
}

/// Has another daemon take over from the one at `socket`.
pub async fn upgrade(socket: &Path) -> Result<UpgradeAnswer, AskError> {
    Following::begin(socket, Method::POST, UPGRADE).await?.told().await
}

/// Exchanges of the daemon at `socket` that `filter` wants, as they end; each line is one.
pub async fn exchanges(socket: &Path, filter: &Filter) -> Result<Following, AskError> {
    Following::begin(socket, Method::GET, &format!("{EXCHANGES}?{}", query::of_filter(filter)))
        .await
}

/// Once a second, what the exchanges of the daemon at `socket` came to: [`Following::activity`].
pub async fn activity(socket: &Path) -> Result<Following, AskError> {
    Following::begin(socket, Method::GET, ACTIVITY).await
}

/// The longest line that an answer which goes on may have.
const MOST_LINE_BYTES: usize = 4 * 1024 * 1024;

/// An answer that goes on, line by line.
#[derive(Debug)]
pub struct Following {
    socket: PathBuf,
    body: Incoming,
    seen: BytesMut,
    /// Drives the connection until this is dropped.
    _connection: AbortOnDrop,
}

#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Following {
    async fn begin(socket: &Path, method: Method, target: &str) -> Result<Self, AskError> {
        let begun = timeout(LIMIT, open(socket, method, target)).await;
        let Opened { response, connection } =
            begun.map_err(|_| AskError::Silent { path: socket.to_owned() })??;
        let (socket, seen) = (socket.to_owned(), BytesMut::new());
        Ok(Self { socket, body: response.into_body(), seen, _connection: connection })
    }

    /// The next line; empty ones only show that somebody is there.
    pub async fn line(&mut self) -> Result<Bytes, AskError> {
        loop {
            if let Some(end) = self.seen.iter().position(|&byte| byte == b'\n') {
                let mut line = self.seen.split_to(end + 1);
                line.truncate(end);
                if !line.is_empty() {
                    return Ok(line.freeze());
                }
                continue;
            }
            if self.seen.len() > MOST_LINE_BYTES {
                let reason = "a line is too long".to_owned();
                return Err(AskError::Foreign { path: self.socket.clone(), reason });
            }
            let frame = self.body.frame().await.and_then(Result::ok);
            let frame = frame.ok_or_else(|| AskError::Gone { path: self.socket.clone() })?;
            self.seen.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        }
    }

    /// The next line as what one second came to.
    pub async fn activity(&mut self) -> Result<Activity, AskError> {
        self.told().await
    }

    async fn told<T: DeserializeOwned>(&mut self) -> Result<T, AskError> {
        let line = self.line().await?;
        serde_json::from_slice(&line).map_err(|error| AskError::Foreign {
            path: self.socket.clone(),
            reason: error.to_string(),
        })
    }
}

async fn fetch<T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    target: &str,
) -> Result<T, AskError> {
    match timeout(LIMIT, exchange(socket, method, target)).await {
        Ok(answer) => answer,
        Err(_) => Err(AskError::Silent { path: socket.to_owned() }),
    }
}

async fn exchange<T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    target: &str,
) -> Result<T, AskError> {
    let Opened { response, connection: _connection } = open(socket, method, target).await?;
    let text = whole(response).await.map_err(|reason| foreign(socket, reason))?;
    serde_json::from_slice(&text).map_err(|error| foreign(socket, error.to_string()))
}

/// An answer that has begun, and what drives its connection.
struct Opened {
    response: Response<Incoming>,
    connection: AbortOnDrop,
}

/// Asks; an answer that says no is an error.
async fn open(socket: &Path, method: Method, target: &str) -> Result<Opened, AskError> {
    let path = || socket.to_owned();
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| AskError::Unreachable { path: path(), source })?;
    let opened = converse(stream, method, target).await;
    let opened = opened.map_err(|reason| foreign(socket, reason))?;
    let status = opened.response.status();
    if status.is_success() {
        return Ok(opened);
    }
    let text = whole(opened.response).await.map_err(|reason| foreign(socket, reason))?;
    match serde_json::from_slice(&text) {
        Ok(Refusal { error: reason }) => Err(AskError::Refused { path: path(), status, reason }),
        Err(_) => Err(foreign(socket, status.to_string())),
    }
}

/// Sends the question; the beginning of the answer, or what is wrong with it.
async fn converse(stream: UnixStream, method: Method, target: &str) -> Result<Opened, String> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // An error of the connection is the answer's as well.
    let connection = AbortOnDrop(tokio::spawn(async move { drop(connection.await) }));
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, "dispa")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    Ok(Opened { response, connection })
}

async fn whole(response: Response<Incoming>) -> Result<Bytes, String> {
    let body = Limited::new(response.into_body(), MOST_ANSWER_BYTES).collect().await;
    Ok(body.map_err(|error| error.to_string())?.to_bytes())
}

fn foreign(socket: &Path, reason: String) -> AskError {
    AskError::Foreign { path: socket.to_owned(), reason }
}
