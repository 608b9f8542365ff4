//! One HTTP/2 connection to a backend, and the streams on it.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http2},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use super::{pool::Slot, request_body::RequestBody};
use crate::{config::Http, life::Tasks};

/// What a backend may send ahead on one stream, and on all of a connection: enough to keep a fast
/// link busy, little enough to be held for a slow client.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// What is taken from a request's body ahead of what the backend takes.
const SEND_BUFFER: usize = 64 * 1024;

/// How often it is looked whether the backend's settings have come: soon at first.
const FIRST_LOOK: Duration = Duration::from_micros(500);
const LAST_LOOK: Duration = Duration::from_millis(50);

/// A connection shared by as many exchanges as the backend allows. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Http2Connection {
    sender: http2::SendRequest<RequestBody>,
    shared: Rc<Allowed>,
}

/// What hyper drives the connection with. What the backend allows is asked of it.
type Driver = http2::Connection<TokioIo<TcpStream>, RequestBody, Tasks>;

struct Allowed {
    /// Gone once it has ended: as long as it is there, requests wait for it.
    driver: RefCell<Option<Pin<Box<Driver>>>>,
    open: Cell<usize>,
    /// When a stream last ended.
    since: Cell<Instant>,
}

impl std::fmt::Debug for Allowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Allowed").field("open", &self.open).finish_non_exhaustive()
    }
}

impl Allowed {
    /// Streams at once; none until the backend's settings are there.
    fn streams(&self) -> usize {
        self.driver.borrow().as_ref().map_or(0, |driver| driver.current_max_send_streams())
    }

    /// Whether WebSocket is taken on a stream (RFC 8441 section 3).
    fn extended_connect(&self) -> bool {
        self.driver.borrow().as_ref().is_some_and(|it| it.is_extended_connect_protocol_enabled())
    }

    /// Goes on with the connection; ready when it is over.
    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut driver = self.driver.borrow_mut();
        let Some(running) = driver.as_mut() else { return Poll::Ready(()) };
        // Its errors reach whoever waits for a response.
        let ended = running.as_mut().poll(context).map(drop);
        if ended.is_ready() {
            *driver = None;
        }
        ended
    }
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
        self.shared.since.set(Instant::now());
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
        let driver = RefCell::new(Some(Box::pin(connection)));
        let shared =
            Rc::new(Allowed { driver, open: Cell::new(0), since: Cell::new(Instant::now()) });
        let running = Rc::clone(&shared);
        tasks.spawn(async move {
            poll_fn(|context| running.poll(context)).await;
            drop(slot);
        });
        // hyper tells nobody that the settings have come.
        let mut pause = FIRST_LOOK;
        while shared.streams() == 0 && !sender.is_closed() {
            sleep(pause).await;
            pause = (pause * 2).min(LAST_LOOK);
        }
        Ok(Self { sender, shared })
    }

    /// Whether nothing can be sent on it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether nothing has been asked of it for `limit`.
    pub(super) fn is_idle_for(&self, limit: Duration) -> bool {
        self.shared.open.get() == 0 && self.shared.since.get().elapsed() >= limit
    }

    /// Another stream, if the backend allows one more; `freed` is called once it is free again.
    pub(super) fn stream(&self, freed: Freed) -> Option<Stream> {
        let open = &self.shared.open;
        if open.get() >= self.shared.streams() {
            return None;
        }
        open.set(open.get() + 1);
        Some(Stream { shared: Rc::clone(&self.shared), freed: Some(freed) })
    }

    /// Whether the backend takes WebSocket on a stream (RFC 8441 section 3).
    pub(super) fn takes_extended_connect(&self) -> bool {
        self.shared.extended_connect()
    }

    /// Sends `request` and waits for the head of its response.
    pub(super) fn exchange(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> {
        self.sender.try_send_request(request)
    }
}

/// Whether the backend gave up the request's stream alone.
pub(super) fn is_reset(error: &hyper::Error) -> bool {
    use std::error::Error as _;
    let source = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    source.is_some_and(h2::Error::is_reset)
}

/// Whether the backend says that it has done nothing with a request: it refused the stream, or is
/// about to close the connection and will not look at it (RFC 9113 sections 6.8 and 8.7).
pub(super) fn is_unprocessed(error: &hyper::Error) -> bool {
    use std::error::Error as _;
    let source = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    source.is_some_and(|error| {
        error.reason() == Some(h2::Reason::REFUSED_STREAM)
            || error.is_go_away()
                && error.is_remote()
                && error.reason() == Some(h2::Reason::NO_ERROR)
    })
}
