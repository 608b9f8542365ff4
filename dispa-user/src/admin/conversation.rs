//! What everyone who asks over HTTP/1.1 gets: one answer a connection, within limits.

use std::{
    convert::Infallible,
    future::pending,
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Either, Full, combinators::UnsyncBoxBody};
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

/// An answer that goes on has something to take every ten seconds; nothing was taken for so long.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

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
    serve_until(pending(), listener, converse).await;
}

/// Accepts until `over`, and then until what it serves has ended, or it is dropped.
pub(super) async fn serve_until<L, F>(
    over: impl Future<Output = ()>,
    listener: L,
    converse: impl Fn(L::Stream) -> F,
) where
    L: Listen,
    F: Future<Output = ()> + Send + 'static,
{
    let mut conversations = JoinSet::new();
    tokio::select! {
        () = over => {}
        () = accept(&listener, converse, &mut conversations) => {}
    }
    drop(listener);
    conversations.join_all().await;
}

async fn accept<L, F>(
    listener: &L,
    converse: impl Fn(L::Stream) -> F,
    conversations: &mut JoinSet<()>,
) where
    L: Listen,
    F: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
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
    let goes_on = &OnceLock::new();
    let service = service_fn(|request| {
        let answer = answer(request);
        async move {
            let answer = answer.await;
            if let Some(taken) = answer.extensions().get::<Taken>() {
                // There is one answer.
                let _ = goes_on.set(taken.clone());
            }
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
    if timeout(LIMIT, &mut connection).await.is_ok() {
        return;
    }
    while let Some(taken) = goes_on.get()
        && taken.lately()
        && timeout(LIMIT, &mut connection).await.is_err()
    {}
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

/// When something of an answer that goes on was last taken. Who takes nothing for long makes room.
#[derive(Clone, Debug)]
struct Taken(Arc<Mutex<Instant>>);

impl Taken {
    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn lately(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < LONGEST_PAUSE
    }
}

/// An answer of this type that goes on.
pub(super) fn goes_on(content_type: &'static str, body: GoesOn) -> Answer {
    let taken = Taken(Arc::new(Mutex::new(Instant::now())));
    let noted = taken.clone();
    let body = body.map_frame(move |frame| {
        noted.note();
        frame
    });
    let mut answer = Response::new(Either::Right(body.boxed_unsync()));
    answer.extensions_mut().insert(taken);
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
