//! Sending requests to the backends, over connections that are kept.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    os::fd::BorrowedFd,
    rc::Rc,
    time::Duration,
};

use http::{
    HeaderValue, Method, Request, Response, Uri, Version,
    header::{EXPECT, HOST},
    uri::{PathAndQuery, Scheme},
};
use hyper::{body::Incoming, client::conn::TrySendError};
use tokio::net::TcpStream;

use super::{
    Backend, Interim, ResponseBody, UpstreamError,
    go_ahead::GoAhead,
    http1::Http1Connection,
    http2::{self, Http2Connection},
    pool::{Grant, Pool, PoolLimits, Shared},
    request_body::{BodyState, Kept, Progress, RequestBody},
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
    http: Http,
    mark: Mark,
    tasks: Tasks,
}

/// A request as a client sent it, and what its sender wants beyond its response.
pub struct Outgoing {
    /// In the form that the server takes.
    pub request: Request<Incoming>,
    /// Who is told of interim responses.
    pub interim: Option<Interim>,
    /// Longest time to the beginning of its response, after the last of its body was sent.
    pub limit: Duration,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("request", &self.request).finish_non_exhaustive()
    }
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
        http: Http,
        limits: UpstreamConnections,
        workers: usize,
        mark: Mark,
        tasks: Tasks,
    ) -> Rc<Self> {
        let share = |all: usize| all.div_ceil(workers.max(1));
        let pool = Pool::new(PoolLimits {
            total: share(limits.max),
            each: share(limits.max_per_target),
            idle: limits.max_idle_per_target.div_ceil(workers.max(1)),
            idle_for: limits.idle_timeout,
        });
        Rc::new(Self { pool, http, mark, tasks })
    }

    /// Sends a request to `backend` and waits for the head of its response, for as long as the
    /// backend's timeout and the request's limit allow after the last of its body was sent. After an
    /// error by which nothing was sent it may be sent to another one.
    pub async fn send(
        self: &Rc<Self>,
        backend: &Backend,
        sending: &mut Sending,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let limit = sending.limit.min(backend.timeout);
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
        outgoing: Outgoing,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let limit = outgoing.limit;
        let mut sending = self.begin(outgoing);
        let progress = sending.progress.clone();
        let exchange = async {
            let stream = self.dial(address, 0).await?;
            if sending.request.version() == Version::HTTP_2 {
                let connection = Http2Connection::begin(stream, &self.http, None, &self.tasks);
                return self.on_stream_alone(connection.await?, &mut sending).await;
            }
            let connection = Http1Connection::begin(stream, self.http.heads, None).await?;
            let response = self.on(connection, &mut sending).await;
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
            request.map(|body| RequestBody::new(body, &progress, self.http.body_timeout));
        let waits = progress.state() == BodyState::Open && request.headers().contains_key(EXPECT);
        let go_ahead = waits.then(|| GoAhead::expect(&self.tasks));
        if let Some(go_ahead) = &go_ahead {
            request.body_mut().wait_for(Rc::clone(go_ahead));
        }
        Sending { request, interim, go_ahead, progress, limit, intact: true }
    }

    /// A kept connection may turn out closed by the backend just as it is used. As long as nothing
    /// of the request was written the next one is tried; a request that may be sent twice is then
    /// sent once more, on a new one (RFC 9112 section 9.3.1).
    async fn over_http1(
        self: &Rc<Self>,
        backend: &Backend,
        sending: &mut Sending,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let mut again = true;
        loop {
            let connection = match self.pool.try_connection(backend.number) {
                Some(grant) => grant,
                None => Box::pin(self.pool.connection(backend.number)).await?,
            };
            let slot = match connection {
                Grant::Look => continue,
                Grant::Slot(slot) => slot,
                Grant::Idle(connection) => {
                    let copy = repeatable(&sending.request).filter(|_| again);
                    let mut failure = match self.on(connection, sending).await {
                        Ok(response) => return Ok(response),
                        Err(failure) => failure,
                    };
                    let whole = if let Some(unsent) = failure.take_message() {
                        unsent
                    } else {
                        again = false;
                        // The others are as old as this one.
                        self.pool.close_idle_of(backend.number);
                        let copy = copy.filter(|_| !is_answer(failure.error()));
                        copy.ok_or_else(|| failure.into_error())?
                    };
                    sending.restore(whole);
                    continue;
                }
            };
            let stream = Box::pin(self.dial_backend(backend)).await?;
            let connection =
                Box::pin(Http1Connection::begin(stream, self.http.heads, Some(slot))).await?;
            let copy = repeatable(&sending.request);
            return match self.on(connection, sending).await {
                Ok(response) => Ok(response),
                Err(mut failure) => {
                    let copy = copy.filter(|_| !is_answer(failure.error()));
                    if let Some(whole) = failure.take_message().or(copy) {
                        sending.restore(whole);
                    }
                    Err(failure.into_error().into())
                }
            };
        }
    }

    async fn on(
        self: &Rc<Self>,
        mut connection: Box<Http1Connection>,
        sending: &mut Sending,
    ) -> Result<Response<ResponseBody>, TrySendError<Request<RequestBody>>> {
        let response = connection.exchange(sending).await?;
        let limit = self.http.body_timeout;
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
        let (mut again, mut tries) = (true, 0);
        loop {
            let (mut connection, stream) = match self.pool.stream(backend.number).await? {
                Shared::Stream(connection, stream) => (connection, stream),
                Shared::Slot(mut opening) => {
                    let tcp = self.dial_backend(backend).await?;
                    let slot = opening.take_slot();
                    opening
                        .opened(Http2Connection::begin(tcp, &self.http, slot, &self.tasks).await?);
                    continue;
                }
            };
            let copy = repeatable(&sending.request);
            let unsent = Unsent::new(&mut sending.request);
            let connects = *sending.request.method() == Method::CONNECT;
            if connects && !connection.takes_extended_connect() {
                return Err(UpstreamError::NoUpgrade);
            }
            let mut failure = match connection.exchange(sending.take()).await {
                Ok(mut response) => {
                    let upgrade = connects.then(|| hyper::upgrade::on(&mut response));
                    let limit = self.http.body_timeout;
                    return Ok(
                        response.map(|body| ResponseBody::http2(body, stream, upgrade, limit))
                    );
                }
                Err(failure) => failure,
            };
            let whole = match failure.take_message() {
                Some(unsent) => unsent,
                // As good as unsent: the backend says that it has done nothing with it.
                None if http2::is_unprocessed(failure.error()) => {
                    unsent.restore(&sending.progress).ok_or_else(|| failure.into_error())?
                }
                None => match copy {
                    Some(copy) if again => {
                        again = false;
                        copy
                    }
                    copy => {
                        if let Some(whole) = copy {
                            sending.restore(whole);
                        }
                        return Err(failure.into_error().into());
                    }
                },
            };
            sending.restore(whole);
            tries += 1;
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
        let response = connection.exchange(sending.take()).await;
        let response = response.map_err(TrySendError::into_error)?;
        Ok(response.map(|body| ResponseBody::alone(body, None, self.http.body_timeout)))
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
        if let Some(ip) = backend.address {
            let address = SocketAddr::new(ip, backend.port);
            return Ok(self.dial(address, backend.number).await?);
        }
        let mut last = None;
        for address in resolve(&backend.host, backend.port).await? {
            match self.dial(address, backend.number).await {
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
        dial(address, self.http.connect_timeout, |socket| self.mark(socket, backend)).await
    }
}

/// A request on its way.
pub struct Sending {
    pub(super) request: Request<RequestBody>,
    pub(super) interim: Option<Interim>,
    pub(super) go_ahead: Option<Rc<GoAhead>>,
    progress: Progress,
    limit: Duration,
    /// It is whole: nothing of it was sent, or it may be sent once more.
    intact: bool,
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("request", &self.request).finish_non_exhaustive()
    }
}

impl Sending {
    /// Whether it may be sent to another backend after `error`: nothing of it was sent, or it may be
    /// sent once more.
    #[must_use]
    pub fn may_go_elsewhere(&self, error: &UpstreamError) -> bool {
        self.intact && error.is_no_reason_to_end()
    }

    /// Whether `error` tells against the backend. Time that was spent without sending anything may
    /// have been spent waiting for our own limits.
    #[must_use]
    pub fn is_blamed_on_backend(&self, error: &UpstreamError) -> bool {
        error.is_the_backends() && !(self.intact && matches!(error, UpstreamError::TimedOut(_)))
    }

    /// How long the backend has had for its answer.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.progress.since_last()
    }

    /// Tells it another host.
    pub fn rename(&mut self, host: &HeaderValue) {
        rename(&mut self.request, host);
    }

    /// The request; what is left of it is a request for nothing.
    pub(super) fn take(&mut self) -> Request<RequestBody> {
        let nothing = Request::new(RequestBody::nothing(&self.progress));
        self.intact = false;
        std::mem::replace(&mut self.request, nothing)
    }

    /// It is whole again.
    fn restore(&mut self, request: Request<RequestBody>) {
        self.request = request;
        self.intact = true;
    }
}

/// What it takes to send a request once more that was not processed, whatever it asks for.
struct Unsent {
    head: Request<()>,
    body: Kept,
}

impl Unsent {
    fn new(request: &mut Request<RequestBody>) -> Self {
        let mut head = Request::new(());
        request.method().clone_into(head.method_mut());
        request.uri().clone_into(head.uri_mut());
        request.headers().clone_into(head.headers_mut());
        *head.version_mut() = request.version();
        Self { head, body: request.body_mut().keep() }
    }

    fn restore(self, progress: &Progress) -> Option<Request<RequestBody>> {
        let body = RequestBody::from_kept(&self.body, progress)?;
        Some(self.head.map(|()| body))
    }
}

/// Whether a response came before all of its request was sent: the rest must not wait for the client
/// to read it, and its connection is not used again.
fn response_is_early(progress: &Progress) -> bool {
    progress.state() != BodyState::Ended
}

/// Tells a request that its server is `host`.
pub fn rename<B>(request: &mut Request<B>, host: &HeaderValue) {
    if request.version() != Version::HTTP_2 {
        request.headers_mut().insert(HOST, host.clone());
    } else if let Some(target) = absolute_form(request.uri(), host) {
        *request.uri_mut() = target;
    }
}

/// The target in its parts, as HTTP/2 sends it (RFC 9113 section 8.3.1).
#[must_use]
pub fn absolute_form(target: &Uri, host: &HeaderValue) -> Option<Uri> {
    let path = target.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let builder = Uri::builder().scheme(Scheme::HTTP).authority(host.as_bytes());
    builder.path_and_query(path).build().ok()
}

/// Whose fault it is where a request broke off in its body.
fn blame(error: UpstreamError, progress: &Progress) -> UpstreamError {
    match progress.state() {
        BodyState::Broken => UpstreamError::RequestBroken,
        BodyState::Stalled => UpstreamError::RequestStalled,
        BodyState::Open if progress.waits_for_client() => match error {
            UpstreamError::TimedOut(_) => UpstreamError::RequestStalled,
            error => error,
        },
        BodyState::Open | BodyState::Ended => error,
    }
}

/// Whether the backend said something, though nothing that makes sense: it would not the second
/// time.
fn is_answer(error: &hyper::Error) -> bool {
    use std::error::Error as _;
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    error.is_parse() || source.is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
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
