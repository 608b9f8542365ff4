//! The other side of the unix socket: asks a running daemon.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{net::UnixStream, time::timeout};

use super::{
    Explanation, ReloadAnswer, Status, Subject,
    logs::{LOG_STATS, LOGS, LogQuestion},
    serve::{EXPLAIN, LIMIT, RELOAD, Refusal, STATUS},
};
use crate::sink::{Page, Stats};

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
    let foreign = |reason: String| AskError::Foreign { path: socket.to_owned(), reason };
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| AskError::Unreachable { path: socket.to_owned(), source })?;
    let (status, text) = converse(stream, method, target).await.map_err(foreign)?;
    if status.is_success() {
        return serde_json::from_slice(&text).map_err(|error| foreign(error.to_string()));
    }
    match serde_json::from_slice(&text) {
        Ok(Refusal { error: reason }) => {
            Err(AskError::Refused { path: socket.to_owned(), status, reason })
        }
        Err(_) => Err(foreign(status.to_string())),
    }
}

/// Sends the question; the answer's status and body, or what is wrong with it.
async fn converse(
    stream: UnixStream,
    method: Method,
    target: &str,
) -> Result<(StatusCode, Bytes), String> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, "dispa")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MOST_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    };
    let drive = async {
        // An error of the connection is the answer's as well.
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = answer => answer,
        never = drive => never,
    }
}
