//! Sending requests to the backends, over connections that are kept.

use std::{
    cell::RefCell,
    fmt, io,
    net::{IpAddr, SocketAddr},
    os::fd::BorrowedFd,
    rc::Rc,
};

use http::{Method, Request, Response, Version, header::EXPECT};
use hyper::client::conn::TrySendError;
use tokio::net::TcpStream;

use super::{
    Backend, Backends, Outgoing, ResponseBody, Sending, UpstreamError,
    go_ahead::GoAhead,
    http1::Http1Connection,
    http2::{self, Http2Connection},
    pool::{Grant, Pool, PoolLimits, Shared},
    request_body::{BodyState, Progress, RequestBody},
    sending::{blame, response_is_early},
};
use crate::{
    config::{Http, Protocol, UpstreamConnections},
    life::Tasks,
    net::{DialError, dial},
    types::HostName,
};

/// Tries of one request over HTTP/2, each of which the backend did not process.
const MOST_TRIES: u32 = 5;

/// Prepares a socket that leads to the backend of this number, before it connects.
pub type Mark = Rc<dyn Fn(BorrowedFd<'_>, u32) -> io::Result<()>>;

/// The connections of one worker.
pub struct Connections {
    pool: Rc<Pool>,
    http: RefCell<Rc<Http>>,
    /// That share what limits allow.
    workers: usize,
    mark: Mark,
    tasks: Tasks,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("idle", &self.pool.idle()).finish_non_exhaustive()
    }
}

impl Connections {
    /// No connections yet; those to come run on `tasks`, their sockets prepared by `mark`. This
    /// worker is one of `workers`, who share what `limits` allow.
    #[must_use]
    pub fn new(
        http: &Http,
        limits: UpstreamConnections,
        workers: usize,
        mark: Mark,
        tasks: Tasks,
    ) -> Rc<Self> {
        let workers = workers.max(1);
        let pool = Pool::new(share(limits, workers));
        let http = RefCell::new(Rc::new(http.clone()));
        Rc::new(Self { pool, http, workers, mark, tasks })
    }

    /// Goes by another configuration from now on. What is open goes on as it began; idle connections to
    /// who is no backend any more are closed.
    pub fn follow(&self, http: &Http, limits: UpstreamConnections, backends: &Backends) {
        self.http.replace(Rc::new(http.clone()));
        self.pool.follow(share(limits, self.workers), |number| backends.has(number));
    }

    fn http(&self) -> Rc<Http> {
        Rc::clone(&self.http.borrow())
    }

    /// Sends a request to `backend` and waits for the head of its response, for as long as the
    /// backend's timeout allows after the last of its body was sent, and what is left of the
    /// request's limit. After an error it may go to another one, if [`Sending::may_go_elsewhere`] says
    /// so.
    pub async fn send(
        self: &Rc<Self>,
        backend: &Backend,
        sending: &mut Sending,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let limit = sending.left().min(backend.timeout);
        let progress = sending.progress.clone();
        progress.restart();
        let exchange = async {
            match backend.protocol {
                Protocol::Http1 => self.over_http1(backend, sending).await,
                // What is rare is not to make every exchange larger.
                Protocol::Http2 => Box::pin(self.over_http2(backend, sending)).await,
            }
        };
        progress.within(limit, exchange).await.map_err(|error| blame(error, &progress))
    }

    /// Sends a request to `address`, which is no backend, on a connection for this request alone,
    /// in the protocol that the client speaks.
    pub async fn send_once(
        self: &Rc<Self>,
        address: SocketAddr,
        sending: &mut Sending,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let limit = sending.left();
        let progress = sending.progress.clone();
        progress.restart();
        let exchange = async {
            let stream = self.dial(address, 0).await?;
            if sending.request.version() == Version::HTTP_2 {
                let http = self.http();
                let connection = Http2Connection::begin(stream, &http, None, &self.tasks).await?;
                return self.on_stream_alone(connection, sending).await;
            }
            let connection = Http1Connection::begin(stream, self.http().heads, None).await?;
            let response = self.on(connection, sending).await;
            response.map_err(|error| error.into_error().into())
        };
        progress.within(limit, exchange).await.map_err(|error| blame(error, &progress))
    }

    /// Makes a request ready to be sent.
    #[must_use]
    pub fn begin(&self, outgoing: Outgoing) -> Sending {
        let Outgoing { request, interim, limit } = outgoing;
        let progress = Progress::begin(request.body());
        let mut request =
            request.map(|body| RequestBody::new(body, &progress, self.http().body_timeout));
        let waits = progress.state() == BodyState::Open && request.headers().contains_key(EXPECT);
        let go_ahead = waits.then(|| GoAhead::expect(&self.tasks));
        if let Some(go_ahead) = &go_ahead {
            request.body_mut().wait_for(Rc::clone(go_ahead));
        }
        Sending::new(request, interim, go_ahead, progress, limit)
    }

    /// A kept connection may turn out closed by the backend just as it is used. As long as nothing
    /// of the request was written the next one is tried; a request that may be sent twice is then
    /// sent once more, on a new one (RFC 9112 section 9.3.1).
    async fn over_http1(
        self: &Rc<Self>,
        backend: &Backend,
        sending: &mut Sending,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let most = backend.share(self.workers);
        loop {
            let connection = if let Some(grant) = self.pool.try_connection(backend.number, most) {
                grant
            } else {
                sending.in_line = true;
                let granted = Box::pin(self.pool.connection(backend.number, most)).await;
                sending.in_line = false;
                granted?
            };
            let slot = match connection {
                Grant::Look => continue,
                Grant::Slot(slot) => slot,
                Grant::Idle(connection) => {
                    let mut failure = match self.on(connection, sending).await {
                        Ok(response) => return Ok(response),
                        Err(failure) => failure,
                    };
                    if let Some(unsent) = failure.take_message() {
                        sending.came_back(unsent);
                        continue;
                    }
                    // The others are as old as this one.
                    self.pool.close_idle_of(backend.number);
                    let error = failure.into_error().into();
                    if sending.was_repeated || !sending.may_go_elsewhere(&error) {
                        return Err(error);
                    }
                    sending.was_repeated = true;
                    continue;
                }
            };
            let stream = Box::pin(self.dial_backend(backend)).await?;
            let connection =
                Box::pin(Http1Connection::begin(stream, self.http().heads, Some(slot))).await?;
            return self.on(connection, sending).await.map_err(|mut failure| {
                if let Some(unsent) = failure.take_message() {
                    sending.came_back(unsent);
                }
                failure.into_error().into()
            });
        }
    }

    async fn on(
        self: &Rc<Self>,
        mut connection: Box<Http1Connection>,
        sending: &mut Sending,
    ) -> Result<Response<ResponseBody>, TrySendError<Request<RequestBody>>> {
        let response = connection.exchange(sending).await?;
        let limit = self.http().body_timeout;
        let early = response_is_early(&sending.progress);
        Ok(response.map(|body| {
            if early {
                let released = connection.release(&self.tasks);
                return ResponseBody::alone(body, Some(released), limit);
            }
            ResponseBody::http1(body, connection, Rc::clone(self), limit)
        }))
    }

    async fn over_http2(
        self: &Rc<Self>,
        backend: &Backend,
        sending: &mut Sending,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let most = backend.share(self.workers);
        let (mut tries, mut is_new) = (0, false);
        loop {
            sending.in_line = true;
            let granted = self.pool.stream(backend.number, most).await;
            sending.in_line = false;
            let (mut connection, stream) = match granted? {
                Shared::Stream(connection, stream) => (connection, stream),
                Shared::Slot(mut opening) => {
                    is_new = true;
                    let tcp = self.dial_backend(backend).await?;
                    let slot = opening.take_slot();
                    opening.opened(
                        Http2Connection::begin(tcp, &self.http(), slot, &self.tasks).await?,
                    );
                    continue;
                }
            };
            let connects = *sending.request.method() == Method::CONNECT;
            if connects && !connection.takes_extended_connect() {
                return Err(UpstreamError::NoUpgrade);
            }
            let mut failure = match connection.exchange(sending.take(true)).await {
                Ok(mut response) => {
                    let upgrade = connects.then(|| hyper::upgrade::on(&mut response));
                    let limit = self.http().body_timeout;
                    return Ok(
                        response.map(|body| ResponseBody::http2(body, stream, upgrade, limit))
                    );
                }
                Err(failure) => failure,
            };
            tries += 1;
            if let Some(unsent) = failure.take_message() {
                sending.came_back(unsent);
            } else if http2::is_unprocessed(failure.error()) && sending.is_restored() {
                // As good as unsent.
            } else {
                // One that was kept may have been closed just as it was used; a stream that was
                // reset is an answer of a kind.
                let was_stale = !is_new && !http2::is_reset(failure.error());
                let error = failure.into_error().into();
                if sending.was_repeated || !was_stale || !sending.may_go_elsewhere(&error) {
                    return Err(error);
                }
                sending.was_repeated = true;
            }
            if tries > MOST_TRIES {
                return Err(UpstreamError::Busy);
            }
        }
    }

    async fn on_stream_alone(
        &self,
        mut connection: Http2Connection,
        sending: &mut Sending,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let response = connection.exchange(sending.take(false)).await;
        let response = response.map_err(TrySendError::into_error)?;
        Ok(response.map(|body| ResponseBody::alone(body, None, self.http().body_timeout)))
    }

    /// Whether a request to `backend` need not wait for a connection. Over HTTP/2 many share one.
    #[must_use]
    pub fn has_room(&self, backend: &Backend) -> bool {
        let is_shared = backend.protocol == Protocol::Http2;
        is_shared
            || backend.has_room(self.workers)
            || self.pool.has_room(backend.number, backend.share(self.workers))
    }

    /// Takes a connection back that a response was read from.
    pub(super) fn put_back(&self, mut connection: Box<Http1Connection>) {
        if connection.is_clean() {
            connection.since = tokio::time::Instant::now();
            self.pool.put_back(connection);
        }
    }

    /// Closes the connections that have been idle for too long.
    pub fn sweep(&self) {
        self.pool.sweep();
    }

    /// Closes every idle connection, and from now on each at the end of its exchange.
    pub fn close_idle(&self) {
        self.pool.close_idle();
    }

    /// Connects to `backend`, to one after the other of its addresses.
    pub async fn dial_backend(&self, backend: &Backend) -> Result<TcpStream, UpstreamError> {
        let dial = |address| async move {
            let mut attempt = backend.attempt();
            let stream = self.dial(address, backend.number).await?;
            attempt.succeeds();
            Ok::<_, DialError>(stream)
        };
        if let Some(ip) = backend.address {
            return Ok(dial(SocketAddr::new(ip, backend.port)).await?);
        }
        let mut last = None;
        for address in resolve(&backend.host, backend.port).await? {
            match dial(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or_else(|| no_address(&backend.host), UpstreamError::Unreachable))
    }

    /// Marks a socket, not yet connected, on the way to backend number `backend` (0: to none).
    pub fn mark(&self, socket: BorrowedFd<'_>, backend: u32) -> io::Result<()> {
        (self.mark)(socket, backend)
    }

    /// Connects to `address`, on the way to backend number `backend` (0: to none).
    pub async fn dial(&self, address: SocketAddr, backend: u32) -> Result<TcpStream, DialError> {
        dial(address, self.http().connect_timeout, |socket| self.mark(socket, backend)).await
    }
}

/// What one of so many workers may have.
fn share(limits: UpstreamConnections, workers: usize) -> PoolLimits {
    PoolLimits {
        total: limits.max.div_ceil(workers),
        idle: limits.max_idle_per_target.div_ceil(workers),
        idle_for: limits.idle_timeout,
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

#[cfg(test)]
mod tests;
