//! A backend of HTTP/2 that does what a test tells it to, and remembers every request.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    net::{Shutdown, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    thread,
    time::Duration,
};

use anyhow::Result;
use bytes::Bytes;
use h2::{
    RecvStream,
    server::{Builder, Connection, SendResponse},
};
use http::request::Parts;
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::mpsc::{UnboundedSender, unbounded_channel},
};

use super::{
    driver::Driver,
    exchange::{End, Exchange, Order},
};

type Handler = dyn Fn(&mut Exchange) -> Result<()> + Send + Sync;

/// A request as the backend saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its connection, counted from 1.
    pub connection: u64,
    /// Its place among the requests of its connection, counted from 1.
    pub order: u64,
    /// Its head.
    pub head: Parts,
}

/// A connection of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Streams whose handlers run.
    pub now: usize,
    /// The most there were at once.
    pub most: usize,
    /// Whether it is open.
    pub open: bool,
}

/// A server of HTTP/2 with prior knowledge whose answers are made by a handler.
#[derive(Debug)]
pub struct Backend {
    state: Arc<State>,
    _driver: Driver,
}

impl Backend {
    /// Listens on `address`. `handler` answers each request on a thread of its own; an error resets
    /// the stream.
    pub fn start<H>(address: SocketAddr, settings: &Builder, handler: H) -> Result<Self>
    where
        H: Fn(&mut Exchange) -> Result<()> + Send + Sync + 'static,
    {
        let driver = Driver::start()?;
        let listener = driver.wait(TcpListener::bind(address))??;
        let state = Arc::new(State { handler: Box::new(handler), inner: Mutex::default() });
        let (serving, settings) = (Arc::clone(&state), settings.clone());
        let handle = driver.handle().clone();
        driver.handle().spawn(async move {
            let mut number = 0;
            while let Ok((stream, _)) = listener.accept().await {
                number += 1;
                let (serving, settings) = (Arc::clone(&serving), settings.clone());
                handle.spawn(serve(serving, number, stream, settings, handle.clone()));
            }
        });
        Ok(Self { state, _driver: driver })
    }

    /// The requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.state.inner().seen.clone()
    }

    /// The requests so far for this path.
    #[must_use]
    pub fn seen_for(&self, path: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.head.uri.path() == path).collect()
    }

    /// Its connections by number, past ones included.
    #[must_use]
    pub fn connections(&self) -> BTreeMap<u64, Load> {
        self.state.inner().connections.clone()
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.connections().values().filter(|load| load.open).count()
    }
}

struct State {
    handler: Box<Handler>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    seen: Vec<Seen>,
    connections: BTreeMap<u64, Load>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl State {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self, connection: u64, change: impl FnOnce(&mut Load)) {
        change(self.inner().connections.entry(connection).or_default());
    }
}

async fn serve(
    state: Arc<State>,
    number: u64,
    stream: TcpStream,
    settings: Builder,
    handle: Handle,
) -> Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream).try_clone()?;
    state.load(number, |load| load.open = true);
    let connection = settings.handshake::<_, Bytes>(stream).await;
    if let Ok(mut connection) = connection
        && drive(&state, number, &mut connection, &socket, &handle).await == Some(End::Reset)
    {
        socket.set_linger(Some(Duration::ZERO))?;
    }
    state.load(number, |load| load.open = false);
    Ok(())
}

/// Takes streams until the connection ends, or is to be broken off.
async fn drive(
    state: &Arc<State>,
    number: u64,
    connection: &mut Connection<TcpStream, Bytes>,
    socket: &socket2::Socket,
    handle: &Handle,
) -> Option<End> {
    let (orders, mut ordered) = unbounded_channel();
    let mut count = 0;
    loop {
        let (accepted, order) = tokio::select! {
            accepted = connection.accept() => (Poll::Ready(accepted), None),
            order = ordered.recv() => (flush(connection).await, order),
        };
        if let Poll::Ready(accepted) = accepted {
            count += 1;
            begin(state, (number, count), accepted?.ok()?, &orders, handle);
        }
        match order {
            None => {}
            // Nobody waits any more where it fails.
            Some(Order::Flush(done)) => drop(done.send(())),
            Some(Order::End(End::GoAway)) => connection.graceful_shutdown(),
            // Fails where the peer has gone already.
            Some(Order::End(End::Finish)) => drop(socket.shutdown(Shutdown::Write)),
            Some(Order::End(End::Reset)) => return Some(End::Reset),
        }
    }
}

type Accepted = Result<(http::Request<RecvStream>, SendResponse<Bytes>), h2::Error>;

/// Lets the connection write what it can, which on loopback is all; a stream may begin meanwhile.
async fn flush(connection: &mut Connection<TcpStream, Bytes>) -> Poll<Option<Accepted>> {
    poll_fn(|context| Poll::Ready(connection.poll_accept(context))).await
}

/// Remembers a request and hands it to the handler, on a thread of its own.
fn begin(
    state: &Arc<State>,
    (connection, order): (u64, u64),
    (request, respond): (http::Request<RecvStream>, SendResponse<Bytes>),
    orders: &UnboundedSender<Order>,
    handle: &Handle,
) {
    let (head, body) = request.into_parts();
    state.inner().seen.push(Seen { connection, order, head: head.clone() });
    state.load(connection, |load| {
        load.now += 1;
        load.most = load.most.max(load.now);
    });
    let (orders, handle) = (orders.clone(), handle.clone());
    let mut exchange = Exchange {
        connection,
        order,
        head,
        body,
        read: vec![],
        respond,
        stream: None,
        orders,
        handle,
    };
    let state = Arc::clone(state);
    thread::spawn(move || {
        if (state.handler)(&mut exchange).is_err() {
            // Fails where the connection has ended already.
            let _ = exchange.reset(h2::Reason::INTERNAL_ERROR);
        }
        // The stream counts until its last handle is gone.
        drop(exchange);
        state.load(connection, |load| load.now -= 1);
    });
}
