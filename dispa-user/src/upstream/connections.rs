//! One worker's HTTP/1.1 connections to the backends, kept open between requests.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt, io,
    net::{IpAddr, SocketAddr},
    os::fd::BorrowedFd,
    rc::Rc,
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::{Backend, PooledBody, UpstreamError};
use crate::{
    life::Tasks,
    net::{DialError, dial},
    types::HostName,
};

/// Longest wait for a connection to one address.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// An idle connection is used up to this age: shorter than the idle timeouts of common servers
/// (nginx 75 s, Apache 5 s to 60 s), so that most are closed here first.
const IDLE_LIMIT: Duration = Duration::from_secs(50);

/// Idle connections kept for one backend by one worker.
const MOST_IDLE: usize = 128;

/// Prepares a socket that leads to the backend of this number, before it connects.
pub type Mark = Rc<dyn Fn(BorrowedFd<'_>, u32) -> io::Result<()>>;

/// The connections of one worker. Idle ones are used last in, first out.
pub struct Connections {
    idle: RefCell<HashMap<u32, Vec<Idle>>>,
    mark: Mark,
    tasks: Tasks,
}

struct Idle {
    sender: SendRequest<Incoming>,
    since: Instant,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let idle: usize = self.idle.borrow().values().map(Vec::len).sum();
        f.debug_struct("Connections").field("idle", &idle).finish_non_exhaustive()
    }
}

impl Connections {
    /// No connections yet; those to come run on `tasks`, their sockets prepared by `mark`.
    #[must_use]
    pub fn new(mark: Mark, tasks: Tasks) -> Rc<Self> {
        Rc::new(Self { idle: RefCell::default(), mark, tasks })
    }

    /// Sends `request` to `backend` and waits for the head of its response, for as long as the
    /// backend's timeout and `limit` allow.
    pub async fn send(
        self: &Rc<Self>,
        backend: &Backend,
        request: Request<Incoming>,
        limit: Duration,
    ) -> Result<Response<PooledBody>, UpstreamError> {
        let limit = limit.min(backend.timeout);
        tokio::time::timeout(limit, self.exchange(backend, request))
            .await
            .unwrap_or(Err(UpstreamError::TimedOut(limit)))
    }

    /// Sends `request` to `address`, which is no backend, on a connection for this request alone.
    pub async fn send_once(
        self: &Rc<Self>,
        address: SocketAddr,
        request: Request<Incoming>,
        limit: Duration,
    ) -> Result<Response<PooledBody>, UpstreamError> {
        let exchange = async {
            let mut sender = self.connect_to(address, 0).await?;
            let response = sender.send_request(request).await?;
            Ok(response.map(PooledBody::unpooled))
        };
        tokio::time::timeout(limit, exchange).await.unwrap_or(Err(UpstreamError::TimedOut(limit)))
    }

    /// A kept connection may turn out closed by the backend just as it is used: as long as nothing
    /// of the request was written, the next one is tried.
    async fn exchange(
        self: &Rc<Self>,
        backend: &Backend,
        mut request: Request<Incoming>,
    ) -> Result<Response<PooledBody>, UpstreamError> {
        while let Some(mut sender) = self.take_idle(backend.number) {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(self.pooled(backend.number, sender, response)),
                Err(mut failure) => match failure.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(failure.into_error().into()),
                },
            }
        }
        let mut sender = self.connect(backend).await?;
        let response = sender.send_request(request).await?;
        Ok(self.pooled(backend.number, sender, response))
    }

    fn pooled(
        self: &Rc<Self>,
        backend: u32,
        sender: SendRequest<Incoming>,
        response: Response<Incoming>,
    ) -> Response<PooledBody> {
        response.map(|body| PooledBody::new(body, Rc::clone(self), backend, sender))
    }

    /// Takes the youngest idle connection that is ready.
    fn take_idle(&self, backend: u32) -> Option<SendRequest<Incoming>> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(&backend)?;
        connections.retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() < IDLE_LIMIT);
        let ready = connections.iter().rposition(|idle| idle.sender.is_ready())?;
        Some(connections.remove(ready).sender)
    }

    /// Keeps a connection whose exchange is over.
    pub(super) fn put_idle(&self, backend: u32, sender: SendRequest<Incoming>) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let connections = idle.entry(backend).or_default();
        if connections.len() >= MOST_IDLE {
            connections.remove(0);
        }
        connections.push(Idle { sender, since: Instant::now() });
    }

    /// Closes the connections that have been idle for too long.
    pub fn sweep(&self) {
        for connections in self.idle.borrow_mut().values_mut() {
            connections
                .retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() < IDLE_LIMIT);
        }
    }

    /// Closes every idle connection.
    pub fn close_idle(&self) {
        self.idle.borrow_mut().clear();
    }

    async fn connect(
        self: &Rc<Self>,
        backend: &Backend,
    ) -> Result<SendRequest<Incoming>, UpstreamError> {
        let addresses = resolve(&backend.host, backend.port).await?;
        let mut last = None;
        for address in addresses {
            match self.connect_to(address, backend.number).await {
                Err(UpstreamError::Unreachable(error)) => last = Some(error),
                connected => return connected,
            }
        }
        Err(last.map_or_else(|| no_address(&backend.host), UpstreamError::Unreachable))
    }

    async fn connect_to(
        self: &Rc<Self>,
        address: SocketAddr,
        backend: u32,
    ) -> Result<SendRequest<Incoming>, UpstreamError> {
        let stream = self.dial(address, backend).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        self.tasks.spawn(async move {
            // Its errors reach whoever waits for the response.
            let _ = connection.with_upgrades().await;
        });
        Ok(sender)
    }

    /// Connects to `address`, on the way to backend number `backend` (0: to none).
    pub async fn dial(
        &self,
        address: SocketAddr,
        backend: u32,
    ) -> Result<tokio::net::TcpStream, DialError> {
        dial(address, CONNECT_LIMIT, |socket| (self.mark)(socket, backend)).await
    }
}

async fn resolve(host: &HostName, port: u16) -> Result<Vec<SocketAddr>, UpstreamError> {
    if let Ok(address) = host.as_str().parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let addresses = tokio::net::lookup_host((host.as_str(), port))
        .await
        .map_err(|source| UpstreamError::Unresolved { host: host.to_string(), source })?;
    Ok(addresses.collect())
}

fn no_address(host: &HostName) -> UpstreamError {
    UpstreamError::Unresolved {
        host: host.to_string(),
        source: io::Error::new(io::ErrorKind::NotFound, "it has no address"),
    }
}
