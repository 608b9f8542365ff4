//! What everyone who asks over HTTP/1.1 gets: one answer a connection, within limits.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{Either, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

/// Connections of one listener that are served at once; more wait to be accepted.
pub(super) const MOST_CONNECTIONS: usize = 32;

/// The longest a connection may take, from accept to the end of its one answer, unless that goes on.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// Bytes of a request's head: the least that hyper allows, and many times what a question takes.
const MOST_HEAD_BYTES: usize = 8192;

/// The pause after an accept that failed for want of something (descriptors, memory).
const BACK_OFF: Duration = Duration::from_millis(50);

/// An answer that is there, or one that goes on.
pub(super) type Answer = Response<Either<Full<Bytes>, GoesOn>>;

/// A body that goes on until whoever asked goes away.
pub(super) type GoesOn = UnsyncBoxBody<Bytes, Infallible>;

/// What connections come in by.
pub(super) trait Listen {
    /// A connection.
    type Stream;

    /// The next one.
    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Listen for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Listen for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// Accepts until it is dropped, and what it serves with it.
pub(super) async fn serve<L, F>(listener: L, converse: impl Fn(L::Stream) -> F)
where
    L: Listen,
    F: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut conversations = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        while conversations.try_join_next().is_some() {}
        match listener.next().await {
            Ok(stream) => {
                let conversation = converse(stream);
                conversations.spawn(async move {
                    conversation.await;
                    drop(place);
                });
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => sleep(BACK_OFF).await,
        }
    }
}

/// One connection: one request, one answer.
pub(super) async fn converse<S, F>(stream: S, answer: impl Fn(Request<Incoming>) -> F)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Answer>,
{
    let goes_on = &AtomicBool::new(false);
    let service = service_fn(|request| {
        let answer = answer(request);
        async move {
            let answer = answer.await;
            goes_on.store(matches!(answer.body(), Either::Right(_)), Ordering::Relaxed);
            Ok::<_, Infallible>(answer)
        }
    });
    let mut connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MOST_HEAD_BYTES)
        // The limit below is for all of it.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service);
    // What goes wrong on the way is the asker's business, who sees it.
    if timeout(LIMIT, &mut connection).await.is_err() && goes_on.load(Ordering::Relaxed) {
        let _ = connection.await;
    }
}

/// An answer in JSON.
pub(super) fn json<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    match serde_json::to_vec(value) {
        Ok(text) => answer(status, "application/json", text),
        Err(error) => answer(
            StatusCode::INTERNAL_SERVER_ERROR,
            "text/plain; charset=utf-8",
            error.to_string(),
        ),
    }
}

/// An answer of this type that goes on.
pub(super) fn goes_on(content_type: &'static str, body: GoesOn) -> Answer {
    let mut answer = Response::new(Either::Right(body));
    let kind = HeaderValue::from_static(content_type);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// An answer of this type.
pub(super) fn answer(
    status: StatusCode,
    content_type: &'static str,
    text: impl Into<Bytes>,
) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(text.into())));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static(content_type);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
