//! A client connection that speaks HTTP/2, by prior knowledge: many exchanges at once.

use std::{
    cell::RefCell,
    future::{Future as _, poll_fn},
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::{
    seats::Seats,
    serve::{Client, Link, exchange},
    worker::Worker,
};
use crate::{
    framing::{FloodLimits, Frames},
    life::Phase,
    net::Prefixed,
};

/// How often the limits that are not exact to the moment are looked at.
const TICK: Duration = Duration::from_millis(500);

/// Frames in a second that carry nothing of an exchange. Clients that probe the path ping a few
/// times a second.
const MOST_CONTROL: u32 = 1000;

/// What is taken from a backend ahead of what the client takes, for each stream.
const SEND_BUFFER: usize = 64 * 1024;

/// What a client may send ahead of what a backend takes, on one stream and on all of them.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Serves requests until either side closes; `seen` was read already. Where the daemon drains, no
/// new ones.
pub(super) async fn serve(stream: TcpStream, seen: Bytes, client: Client, worker: Rc<Worker>) {
    // Copied: a whole configuration is not to live as long as its longest connection.
    let http = worker.state().http.clone();
    let idle_limit = in_ticks(worker.state().keep_alive_timeout);
    let seats = Rc::new(Seats::default());
    let link = Rc::new(Link::http2(&Rc::new(client), &worker, &seats));
    let service = service_fn(move |request| exchange(request, Rc::clone(&link)));
    let limits = FloodLimits { resets: http.max_resets, control: MOST_CONTROL };
    let frames = Rc::new(RefCell::new(Frames::new(limits, std::time::Instant::now())));
    let counted = Counted { inner: Prefixed::new(seen, stream), frames: Rc::clone(&frames) };
    let connection = http2::Builder::new(worker.tasks.clone())
        .timer(TokioTimer::new())
        .max_concurrent_streams(http.max_streams)
        .max_header_list_size(u32::try_from(http.heads.bytes).unwrap_or(u32::MAX))
        .max_local_error_reset_streams(http.max_resets as usize)
        .max_pending_accept_reset_streams(http.max_resets as usize)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .enable_connect_protocol()
        .serve_connection(TokioIo::new(counted), service);
    let mut connection = Box::pin(connection);

    let mut stopped = worker.stopped.clone();
    let mut draining = pin!(stopped.reached(Phase::Retiring));
    let mut ending = false;
    let mut ticks = interval_at(Instant::now() + TICK, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut idle_ticks = 0;
    let patience = in_ticks(http.body_timeout);
    poll_fn(|context| {
        loop {
            if connection.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            if !ending && draining.as_mut().poll(context).is_ready() {
                ending = true;
                connection.as_mut().graceful_shutdown();
                continue;
            }
            if ticks.poll_tick(context).is_pending() {
                return Poll::Pending;
            }
            let slow = frames.borrow().head_is_older_than(http.header_timeout);
            if slow || seats.tick(patience) {
                return Poll::Ready(());
            }
            idle_ticks = if seats.taken() == 0 { idle_ticks + 1 } else { 0 };
            if idle_ticks > 2 * idle_limit {
                // It was asked to go, and does not.
                return Poll::Ready(());
            }
            if idle_ticks >= idle_limit && !ending {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    })
    .await;
}

fn in_ticks(limit: Duration) -> u32 {
    u32::try_from(limit.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX / 2)
}

/// A stream whose frames are counted as they are read.
#[derive(Debug)]
struct Counted {
    inner: Prefixed<TcpStream>,
    frames: Rc<RefCell<Frames>>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        let counted = self.frames.borrow_mut().advance(read, std::time::Instant::now());
        Poll::Ready(counted.map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault)))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
