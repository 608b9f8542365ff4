//! One worker's HTTP/1.1 connections to the backends, kept open between requests.

use std::{
    cell::{Cell, RefCell},
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
use tokio::{net::TcpStream, time::Instant};

use super::{
    Backend, PooledBody, UpstreamError,
    request_body::{Progress, RequestBody},
};
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
    /// None is kept any more.
    closing: Cell<bool>,
    mark: Mark,
    tasks: Tasks,
}

struct Idle {
    sender: SendRequest<RequestBody>,
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
        Rc::new(Self { idle: RefCell::default(), closing: Cell::new(false), mark, tasks })
    }

    /// Sends `request` to `backend` and waits for the head of its response, for as long as the
    /// backend's timeout and `limit` allow after the last of its body was sent.
    pub async fn send(
        self: &Rc<Self>,
        backend: &Backend,
        request: Request<Incoming>,
        limit: Duration,
    ) -> Result<Response<PooledBody>, UpstreamError> {
        let progress = Progress::begin();
        let request = request.map(|body| RequestBody::new(body, &progress));
        progress.within(limit.min(backend.timeout), self.exchange(backend, request)).await
    }

    /// Sends `request` to `address`, which is no backend, on a connection for this request alone.
    pub async fn send_once(
        &self,
        address: SocketAddr,
        request: Request<Incoming>,
        limit: Duration,
    ) -> Result<Response<PooledBody>, UpstreamError> {
        let progress = Progress::begin();
        let request = request.map(|body| RequestBody::new(body, &progress));
        let exchange = async {
            let mut sender = self.handshake(self.dial(address, 0).await?).await?;
            let response = sender.send_request(request).await?;
            Ok(response.map(PooledBody::unpooled))
        };
        progress.within(limit, exchange).await
    }

    /// A kept connection may turn out closed by the backend just as it is used. As long as nothing
    /// of the request was written the next one is tried; a request that may be sent twice is then
    /// sent once more, on a new one (RFC 9112 section 9.3.1).
    async fn exchange(
        self: &Rc<Self>,
        backend: &Backend,
        mut request: Request<RequestBody>,
    ) -> Result<Response<PooledBody>, UpstreamError> {
        while let Some(mut sender) = self.take_idle(backend.number) {
            let copy = repeatable(&request);
            let mut failure = match sender.try_send_request(request).await {
                Ok(response) => return Ok(self.pooled(backend.number, sender, response)),
                Err(failure) => failure,
            };
            if let Some(unsent) = failure.take_message() {
                request = unsent;
                continue;
            }
            let error = failure.into_error();
            // An answer that is no HTTP would be none the second time.
            request = copy.filter(|_| !error.is_parse()).ok_or(error)?;
            break;
        }
        let mut sender = self.connect(backend).await?;
        let response = sender.send_request(request).await?;
        Ok(self.pooled(backend.number, sender, response))
    }

    fn pooled(
        self: &Rc<Self>,
        backend: u32,
        sender: SendRequest<RequestBody>,
        response: Response<Incoming>,
    ) -> Response<PooledBody> {
        response.map(|body| PooledBody::new(body, Rc::clone(self), backend, sender))
    }

    /// Takes the youngest idle connection that is ready.
    fn take_idle(&self, backend: u32) -> Option<SendRequest<RequestBody>> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(&backend)?;
        connections.retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() < IDLE_LIMIT);
        let ready = connections.iter().rposition(|idle| idle.sender.is_ready())?;
        Some(connections.remove(ready).sender)
    }

    /// Keeps a connection whose exchange is over, unless it is time to close them.
    pub(super) fn put_idle(&self, backend: u32, sender: SendRequest<RequestBody>) {
        if self.closing.get() || sender.is_closed() {
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

    /// Closes every idle connection, and from now on each at the end of its exchange.
    pub fn close_idle(&self) {
        self.closing.set(true);
        self.idle.borrow_mut().clear();
    }

    async fn connect(
        self: &Rc<Self>,
        backend: &Backend,
    ) -> Result<SendRequest<RequestBody>, UpstreamError> {
        self.handshake(self.dial_backend(backend).await?).await
    }

    /// Connects to `backend`, to one after the other of its addresses.
    pub async fn dial_backend(&self, backend: &Backend) -> Result<TcpStream, UpstreamError> {
        let mut last = None;
        for address in resolve(&backend.host, backend.port).await? {
            match self.dial(address, backend.number).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or_else(|| no_address(&backend.host), UpstreamError::Unreachable))
    }

    async fn handshake(
        &self,
        stream: TcpStream,
    ) -> Result<SendRequest<RequestBody>, UpstreamError> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        self.tasks.spawn(async move {
            // Its errors reach whoever waits for the response.
            let _ = connection.with_upgrades().await;
        });
        Ok(sender)
    }

    /// Marks a socket, not yet connected, on the way to backend number `backend` (0: to none).
    pub fn mark(&self, socket: BorrowedFd<'_>, backend: u32) -> io::Result<()> {
        (self.mark)(socket, backend)
    }

    /// Connects to `address`, on the way to backend number `backend` (0: to none).
    pub async fn dial(&self, address: SocketAddr, backend: u32) -> Result<TcpStream, DialError> {
        dial(address, CONNECT_LIMIT, |socket| self.mark(socket, backend)).await
    }
}

/// A copy of `request` if it may be sent twice: it asks for no change (RFC 9110 section 9.2.1), and
/// there is no body that would be gone.
fn repeatable(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let body = request.body().copy().filter(|_| request.method().is_safe())?;
    let mut copy = Request::new(body);
    request.method().clone_into(copy.method_mut());
    request.uri().clone_into(copy.uri_mut());
    request.headers().clone_into(copy.headers_mut());
    *copy.version_mut() = request.version();
    Some(copy)
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

#[cfg(test)]
mod tests;
