//! One HTTP/1.1 connection to a server.

use std::{
    convert::Infallible,
    fmt,
    future::{Future as _, poll_fn},
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::oneshot, time::Instant};

use super::{
    Sending,
    driven::Driven,
    outbound::{Outbound, Talk},
    pool::Slot,
    request_body::RequestBody,
    tunnel::Tunnel,
};
use crate::{
    framing::HeadLimits,
    life::Tasks,
    net::{Gate, Prefixed},
};

/// What is read ahead and held for whoever is slow: enough for a fast stream, little enough for
/// thousands of slow ones.
const BUFFER: usize = 64 * 1024;

/// hyper's own number, up to which it needs no memory to parse them into.
const FIELDS_WITHOUT_MEMORY: usize = 100;

type Driver = http1::Connection<TokioIo<Gate<Outbound>>, RequestBody>;

/// A connection, idle or with one exchange under way.
pub(super) struct Http1Connection {
    sender: http1::SendRequest<RequestBody>,
    driver: Driven<Driver>,
    talk: Rc<Talk>,
    /// The server's number, and its share of the connections there may be.
    slot: Option<Slot>,
    /// Since when it has been idle.
    pub(super) since: Instant,
}

/// Whoever wants something of a connection that goes on by itself.
#[derive(Debug)]
pub(super) struct Released(
    #[expect(dead_code, reason = "its end is what counts")] oneshot::Sender<Infallible>,
);

impl fmt::Debug for Http1Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http1Connection").field("talk", &self.talk).finish_non_exhaustive()
    }
}

impl Http1Connection {
    /// Begins HTTP on `stream`.
    pub(super) async fn begin(
        stream: TcpStream,
        limits: HeadLimits,
        slot: Option<Slot>,
    ) -> Result<Box<Self>, hyper::Error> {
        let talk = Rc::new(Talk::default());
        let gate = Gate::new(stream, BytesMut::new(), Outbound::new(limits, Rc::clone(&talk)));
        let mut builder = http1::Builder::new();
        if limits.fields > FIELDS_WITHOUT_MEMORY {
            builder.max_headers(limits.fields);
        }
        builder.max_buf_size(limits.bytes.max(BUFFER));
        let (sender, driver) = builder.handshake(TokioIo::new(gate)).await?;
        let driver = Driven::new(driver);
        Ok(Box::new(Self { sender, driver, talk, slot, since: Instant::now() }))
    }

    /// The number of the server it leads to; 0 for one that is no backend.
    pub(super) fn backend(&self) -> u32 {
        self.slot.as_ref().map_or(0, Slot::backend)
    }

    /// Polls the connection, and `wanted` that depends on it.
    pub(super) fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        wanted: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.driver.poll(context, wanted)
    }

    /// Sends the request and waits for the head of its response.
    pub(super) async fn exchange(
        &mut self,
        sending: &mut Sending,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        self.talk.begin(sending);
        let mut response = pin!(self.sender.try_send_request(sending.take(false)));
        poll_fn(|context| self.driver.poll(context, |inner| response.as_mut().poll(inner))).await
    }

    /// Whether a request may be sent, as far as can be told without sending one: what the server
    /// has closed meanwhile, or sent unasked, shows here.
    pub(super) fn is_ready(&mut self) -> bool {
        self.driver.settle();
        !self.driver.has_ended() && self.sender.is_ready()
    }

    /// Whether the exchange is over, on both sides, and nothing is left of it.
    pub(super) fn is_clean(&mut self) -> bool {
        self.is_ready() && self.talk.is_clean()
    }

    /// Lets the connection go on by itself, until its exchange is over or what is returned is
    /// dropped.
    pub(super) fn release(self, tasks: &Tasks) -> Released {
        let Self { sender, driver, slot, .. } = self;
        let (released, gone) = oneshot::channel::<Infallible>();
        // As long as there is one, the connection waits for another request.
        drop(sender);
        tasks.spawn(async move {
            tokio::select! {
                _ = driver.into_inner() => {}
                _ = gone => {}
            }
            drop(slot);
        });
        Released(released)
    }

    /// The connection itself, once HTTP is over on it.
    pub(super) fn into_tunnel(mut self: Box<Self>) -> Option<Tunnel> {
        // It ends at once: the response that said so was the last of HTTP.
        self.driver.settle();
        let ended = self.driver.has_ended();
        let Self { driver, slot, .. } = *self;
        if !ended {
            return None;
        }
        let parts = driver.into_inner().into_parts();
        let (stream, kept) = parts.io.into_inner().into_parts();
        let ahead = Bytes::from([parts.read_buf, kept].concat());
        Some(Tunnel::new(Prefixed::new(ahead, stream), slot))
    }
}
