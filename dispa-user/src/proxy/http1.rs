//! A client connection that speaks HTTP/1, request after request.

use std::{
    cell::RefCell,
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
    time::Duration,
};

use bytes::BytesMut;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

use super::{
    inbound::{Hop, Inbound},
    serve::{Client, Link, exchange},
    upgrade::{self, Switched},
    worker::Worker,
};
use crate::{
    life::Phase,
    net::{Gate, Prefixed, linger, reset},
};

/// How often the limits that are not exact to the moment are looked at.
const TICK: Duration = Duration::from_millis(500);

/// How long a client that closed its side may go on waiting while nothing moves. Some close it in
/// order and wait for their answer; most have gone, and their backend should hear of it.
const HALF_CLOSED: Duration = Duration::from_secs(1);

/// What is read ahead and held for whoever is slow: enough for a fast stream, little enough for
/// thousands of slow ones.
const BUFFER: usize = 64 * 1024;

/// How long a request may take to arrive that was sent before its connection is closed for being idle.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// hyper's own number, up to which it needs no memory to parse them into.
const FIELDS_WITHOUT_MEMORY: usize = 100;

/// How a busy time ended.
enum Ended {
    /// Nothing is under way and nothing was read ahead.
    Idle(Gate<Inbound>),
    /// Our last word was said; the client may still be sending.
    Unread(TcpStream),
    /// The client takes nothing.
    Stuck(TcpStream),
    /// It is another protocol from here on.
    Switched(Prefixed<TcpStream>, Switched),
    Closed,
}

/// What was read of a connection before it was known to be served.
pub(super) struct Begun {
    pub(super) seen: BytesMut,
    /// It is less than a request, and should be one by now.
    pub(super) late: bool,
}

/// Serves requests until either side closes; after the present one where the daemon drains.
pub(super) async fn serve(stream: TcpStream, begun: Begun, client: Client, worker: Rc<Worker>) {
    let hop = Rc::new(Hop::new(begun.late));
    let seen = begun.seen;
    let judge = Inbound::new(worker.state().http.heads, Rc::clone(&hop));
    let mut gate = Gate::new(stream, seen, judge);
    let client = Rc::new(client);
    loop {
        if gate.kept().is_empty() && !comes(gate.stream(), &worker).await {
            return;
        }
        // What an idle connection holds is what it needs; the rest is made when there is work.
        match Box::pin(busy(gate, &hop, &client, &worker)).await {
            Ended::Idle(idle) => gate = idle,
            Ended::Unread(stream) => return Box::pin(linger(stream)).await,
            Ended::Stuck(stream) => return reset(stream),
            Ended::Switched(stream, switched) => {
                return Box::pin(upgrade::relay(stream, switched, &worker)).await;
            }
            Ended::Closed => return,
        }
    }
}

/// Waits for the next request; `false` if there is to be none.
async fn comes(stream: &TcpStream, worker: &Worker) -> bool {
    let patience = worker.state().keep_alive_timeout.saturating_sub(TICK);
    tokio::select! {
        biased;
        come = timeout(patience, stream.readable()) => {
            matches!(come, Ok(Ok(())))
        }
        () = worker.begins_nothing_new(ON_ITS_WAY) => false,
    }
}

/// Serves requests as long as they come.
async fn busy(
    gate: Gate<Inbound>,
    hop: &Rc<Hop>,
    client: &Rc<Client>,
    worker: &Rc<Worker>,
) -> Ended {
    let switched = Rc::new(RefCell::new(None));
    let link = Rc::new(Link::http1(client, worker, hop, &switched));
    let service = service_fn(|request| exchange(request, Rc::clone(&link)));
    let (heads, body_timeout, header_timeout) = {
        let http = &worker.state().http;
        (http.heads, http.body_timeout, http.header_timeout)
    };
    let mut builder = http1::Builder::new();
    if heads.fields > FIELDS_WITHOUT_MEMORY {
        builder.max_headers(heads.fields);
    }
    builder.max_buf_size(heads.bytes.max(BUFFER));
    let mut connection = builder.serve_connection(TokioIo::new(gate), service);

    let mut stopped = worker.stopped.clone();
    let mut retiring = pin!(stopped.reached(Phase::Retiring));
    let mut draining = pin!(worker.begins_nothing_new(ON_ITS_WAY));
    let mut ends = false;
    let mut ticks = interval_at(Instant::now() + TICK, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_idle = false;
    let why = poll_fn(|context| {
        loop {
            if let Poll::Ready(ended) = Pin::new(&mut connection).poll(context) {
                return Poll::Ready(if ended.is_ok() { Why::Done } else { Why::Broken });
            }
            if hop.has_interim() || hop.takes_up() {
                continue;
            }
            // With the answer to a request the client is told that it is the last one.
            let retires = !ends && hop.is_busy() && retiring.as_mut().poll(context).is_ready();
            if retires || !ends && draining.as_mut().poll(context).is_ready() {
                ends = true;
                Pin::new(&mut connection).graceful_shutdown();
                continue;
            }
            if ticks.poll_tick(context).is_pending() {
                return Poll::Pending;
            }
            if hop.is_gone(HALF_CLOSED) {
                return Poll::Ready(Why::Broken);
            }
            if hop.is_blocked(body_timeout) {
                return Poll::Ready(Why::Stuck);
            }
            if !hop.is_late(header_timeout) && hop.is_idle() && !ends {
                if was_idle {
                    return Poll::Ready(Why::Idle);
                }
                was_idle = true;
            } else {
                was_idle = false;
            }
        }
    })
    .await;

    let parts = connection.into_parts();
    let gate = parts.io.into_inner();
    if let Some(switched) = switched.take() {
        let (stream, kept) = gate.into_parts();
        return Ended::Switched(Prefixed::new(kept, stream), switched);
    }
    match why {
        Why::Idle if parts.read_buf.is_empty() => Ended::Idle(gate),
        Why::Done if hop.has_unread() || !gate.kept().is_empty() => {
            Ended::Unread(gate.into_parts().0)
        }
        Why::Stuck => Ended::Stuck(gate.into_parts().0),
        Why::Idle | Why::Done | Why::Broken => Ended::Closed,
    }
}

/// Why a connection is not polled any more.
enum Why {
    Idle,
    Done,
    Stuck,
    Broken,
}
