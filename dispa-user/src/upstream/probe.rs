//! Asking a backend whether it is well.

use std::{io, net::SocketAddr, os::fd::BorrowedFd, pin::pin};

use bytes::{Bytes, BytesMut};
use http::{
    Request, Response, Uri,
    header::{HOST, HeaderValue, USER_AGENT},
};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::timeout,
};

use super::{Backend, absolute_form};
use crate::{
    config::{HealthCheck, Protocol, Scheme},
    net::{DialError, dial},
};

/// How much of a body is looked through.
const LONGEST_BODY: usize = 64 * 1024;

/// Why a probe failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The name of the backend has no address.
    #[error("cannot be resolved: {0}")]
    Unresolved(io::Error),
    /// No connection.
    #[error(transparent)]
    Unreachable(#[from] DialError),
    /// No response that makes sense.
    #[error("no valid response: {0}")]
    Broken(#[from] hyper::Error),
    /// Another status than those expected.
    #[error("status {0}")]
    Status(u16),
    /// The body has not what it is expected to have.
    #[error("the body has not what is expected")]
    Body,
    /// Not in time.
    #[error("no answer in time")]
    TimedOut,
    /// What is asked for makes no request of HTTP.
    #[error("it cannot be asked: {0}")]
    Unaskable(#[from] http::Error),
}

impl ProbeError {
    /// Whether it is this process that lacks something, which tells nothing of the backend.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Unreachable(error) if error.is_ours())
    }
}

/// Probes `backend`: a connection, and a request if `check` says which and the backend speaks HTTP in
/// the clear. `mark` sees each socket before it connects.
pub async fn probe(
    backend: &Backend,
    check: &HealthCheck,
    mark: impl Fn(BorrowedFd<'_>) -> io::Result<()>,
) -> Result<(), ProbeError> {
    // Whatever becomes of the probe, its connection ends with it.
    let mut connections = JoinSet::new();
    let asking = async {
        let stream = connect(backend, check, mark).await?;
        match &check.path {
            Some(path) if backend.scheme == Scheme::Http => {
                let target = path.clone().into();
                judge(ask(stream, backend, target, &mut connections).await?, check).await
            }
            _ => Ok(()),
        }
    };
    timeout(check.timeout, asking).await.unwrap_or(Err(ProbeError::TimedOut))
}

async fn connect(
    backend: &Backend,
    check: &HealthCheck,
    mark: impl Fn(BorrowedFd<'_>) -> io::Result<()>,
) -> Result<TcpStream, ProbeError> {
    if let Some(ip) = backend.address {
        let address = SocketAddr::new(ip, backend.port);
        return Ok(dial(address, check.timeout, &mark).await?);
    }
    let nothing = || io::Error::new(io::ErrorKind::NotFound, "it has no address");
    let name = (backend.host.as_str(), backend.port);
    let addresses: Vec<_> = lookup_host(name).await.map_err(ProbeError::Unresolved)?.collect();
    let each = check.timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut last = ProbeError::Unresolved(nothing());
    for address in addresses {
        match dial(address, each, &mark).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

/// Asks for `target` on a connection for this request alone, one of `connections`.
async fn ask(
    stream: TcpStream,
    backend: &Backend,
    target: Uri,
    connections: &mut JoinSet<hyper::Result<()>>,
) -> Result<Response<Incoming>, ProbeError> {
    let host = HeaderValue::try_from(backend.authority.to_string()).map_err(http::Error::from)?;
    let stream = TokioIo::new(stream);
    let request = Request::get(target).header(USER_AGENT, "dispa-health-check");
    match backend.protocol {
        Protocol::Http1 => {
            let request = request.header(HOST, host).body(Empty::<Bytes>::new())?;
            let (mut sender, connection) = http1::handshake(stream).await?;
            connections.spawn(connection);
            Ok(sender.send_request(request).await?)
        }
        Protocol::Http2 => {
            let mut request = request.body(Empty::<Bytes>::new())?;
            if let Some(target) = absolute_form(request.uri(), &host) {
                *request.uri_mut() = target;
            }
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            connections.spawn(connection);
            Ok(sender.send_request(request).await?)
        }
    }
}

async fn judge(response: Response<Incoming>, check: &HealthCheck) -> Result<(), ProbeError> {
    let status = response.status().as_u16();
    if !check.expected_status.contains(&status) {
        return Err(ProbeError::Status(status));
    }
    let Some(expected) = &check.expected_body else { return Ok(()) };
    let mut body = pin!(response.into_body());
    let mut seen = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            seen.extend_from_slice(&data[..data.len().min(LONGEST_BODY - seen.len())]);
        }
        if memchr::memmem::find(&seen, expected.as_bytes()).is_some() {
            return Ok(());
        }
        if seen.len() >= LONGEST_BODY {
            break;
        }
    }
    Err(ProbeError::Body)
}
