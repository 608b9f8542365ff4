//! One HTTP/2 connection to a backend, and the streams on it.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    rc::Rc,
    task::{Context, Poll},
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http2},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::{pool::Slot, request_body::RequestBody};
use crate::{config::Http, life::Tasks};

/// What a backend may send ahead on one stream, and on all of a connection: enough to keep a fast
/// link busy, little enough to be held for a slow client.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// What is taken from a request's body ahead of what the backend takes.
const SEND_BUFFER: usize = 64 * 1024;

/// A connection shared by as many exchanges as the backend allows. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Http2Connection {
    sender: http2::SendRequest<RequestBody>,
    shared: Rc<Allowed>,
}

/// What the backend allows, and how much of that is used.
#[derive(Debug, Default)]
struct Allowed {
    /// Streams at once; none until its settings are there.
    streams: Cell<usize>,
    /// WebSocket on a stream (RFC 8441 section 3).
    extended_connect: Cell<bool>,
    open: Cell<usize>,
}

/// One stream of a connection, open until it is dropped.
#[derive(Debug)]
pub(super) struct Stream {
    shared: Rc<Allowed>,
    freed: Option<Freed>,
}

/// What is called when a stream is free again.
pub(super) struct Freed(pub(super) Box<dyn FnOnce()>);

impl std::fmt::Debug for Freed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Freed")
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.open.set(self.shared.open.get() - 1);
        if let Some(Freed(tell)) = self.freed.take() {
            tell();
        }
    }
}

impl Http2Connection {
    /// Begins HTTP/2 on `stream`, by prior knowledge, and waits until the backend has said what it
    /// allows. Runs on `tasks` until it is closed; `slot` is held as long.
    pub(super) async fn begin(
        stream: TcpStream,
        http: &Http,
        slot: Option<Slot>,
        tasks: &Tasks,
    ) -> Result<Self, hyper::Error> {
        let (sender, connection) = http2::Builder::new(tasks.clone())
            .timer(TokioTimer::new())
            // Until its settings are there.
            .initial_max_send_streams(0)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(u32::try_from(http.heads.bytes).unwrap_or(u32::MAX))
            .handshake(TokioIo::new(stream))
            .await?;
        let shared = Rc::new(Allowed::default());
        let allowed = Rc::clone(&shared);
        let mut connection = Box::pin(connection);
        let mut step = move |context: &mut Context<'_>| {
            let ended = connection.as_mut().poll(context);
            allowed.streams.set(connection.current_max_send_streams());
            allowed.extended_connect.set(connection.is_extended_connect_protocol_enabled());
            ended
        };
        poll_fn(|context| match step(context) {
            Poll::Pending if shared.streams.get() == 0 => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(())),
            Poll::Ready(ended) => Poll::Ready(ended),
        })
        .await?;
        tasks.spawn(async move {
            // Its errors reach whoever waits for a response.
            let _ = poll_fn(step).await;
            drop(slot);
        });
        Ok(Self { sender, shared })
    }

    /// Whether nothing can be sent on it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Another stream, if the backend allows one more; `freed` is called once it is free again.
    pub(super) fn stream(&self, freed: Freed) -> Option<Stream> {
        let Allowed { streams, open, .. } = &*self.shared;
        if open.get() >= streams.get() {
            return None;
        }
        open.set(open.get() + 1);
        Some(Stream { shared: Rc::clone(&self.shared), freed: Some(freed) })
    }

    /// Whether the backend takes WebSocket on a stream (RFC 8441 section 3).
    pub(super) fn takes_extended_connect(&self) -> bool {
        self.shared.extended_connect.get()
    }

    /// Sends `request` and waits for the head of its response.
    pub(super) fn exchange(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> {
        self.sender.try_send_request(request)
    }
}
