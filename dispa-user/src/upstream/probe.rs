//! Asking a backend whether it is well.

use std::{io, net::SocketAddr, os::fd::BorrowedFd, pin::pin, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::{
    Request, Response, Uri,
    header::{HOST, HeaderValue, USER_AGENT},
    uri::PathAndQuery,
};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

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
    /// No TLS to be had from it.
    #[error("no TLS: {0}")]
    Insecure(io::Error),
    /// No TLS to be had from us.
    #[error("no TLS: {0}")]
    Tls(rustls::Error),
    /// Neither a name nor an address that TLS could be asked for.
    #[error("it has no name that TLS knows")]
    Nameless,
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

/// Probes `backend`: a connection, and a request if `check` says which. `mark` sees each socket before it connects.
pub async fn probe(
    backend: &Backend,
    check: &HealthCheck,
    mark: impl Fn(BorrowedFd<'_>) -> io::Result<()>,
) -> Result<(), ProbeError> {
    // Whatever becomes of the probe, its connection ends with it.
    let mut connections = JoinSet::new();
    let asking = async {
        let stream = connect(backend, check, mark).await?;
        let Some(path) = &check.path else { return Ok(()) };
        let question = Question::of(backend, check, path)?;
        let response = match backend.scheme {
            Scheme::Http => ask(stream, question, backend.protocol, &mut connections).await?,
            Scheme::Https => {
                let stream = secured(stream, backend, check).await?;
                ask(stream, question, Protocol::Http1, &mut connections).await?
            }
        };
        judge(response, check).await
    };
    timeout(check.timeout, asking).await.unwrap_or(Err(ProbeError::TimedOut))
}

async fn connect(
    backend: &Backend,
    check: &HealthCheck,
    mark: impl Fn(BorrowedFd<'_>) -> io::Result<()>,
) -> Result<TcpStream, ProbeError> {
    let dial = |address, limit| {
        let mark = &mark;
        async move {
            let mut attempt = backend.attempt();
            let stream = dial(address, limit, mark).await?;
            attempt.succeeds();
            Ok::<_, DialError>(stream)
        }
    };
    if let Some(ip) = backend.address {
        let address = SocketAddr::new(ip, backend.port);
        return Ok(dial(address, check.timeout).await?);
    }
    let nothing = || io::Error::new(io::ErrorKind::NotFound, "it has no address");
    let name = (backend.host.as_str(), backend.port);
    let addresses: Vec<_> = lookup_host(name).await.map_err(ProbeError::Unresolved)?.collect();
    let each = check.timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut last = ProbeError::Unresolved(nothing());
    for address in addresses {
        match dial(address, each).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

/// What is asked for, of whom.
struct Question {
    target: Uri,
    host: HeaderValue,
}

impl Question {
    fn of(
        backend: &Backend,
        check: &HealthCheck,
        path: &PathAndQuery,
    ) -> Result<Self, http::Error> {
        let own = || backend.authority.to_string();
        let host = check.host.as_ref().map_or_else(own, ToString::to_string);
        Ok(Self { target: path.clone().into(), host: HeaderValue::try_from(host)? })
    }
}

/// Begins TLS. Whom its certificate is for is no matter of health: whoever speaks to it checks that.
async fn secured(
    stream: TcpStream,
    backend: &Backend,
    check: &HealthCheck,
) -> Result<TlsStream<TcpStream>, ProbeError> {
    let host = check.host.as_ref().unwrap_or(&backend.host);
    let name = ServerName::try_from(host.to_string()).map_err(|_| ProbeError::Nameless)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let any = Arc::new(AnyCertificate(provider.signature_verification_algorithms));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ProbeError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(any)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(ProbeError::Insecure)
}

/// Takes any certificate whose key its holder has.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// Asks on a connection for this question alone, one of `connections`.
async fn ask<S>(
    stream: S,
    Question { target, host }: Question,
    protocol: Protocol,
    connections: &mut JoinSet<hyper::Result<()>>,
) -> Result<Response<Incoming>, ProbeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(stream);
    let request = Request::get(target).header(USER_AGENT, "dispa-health-check");
    match protocol {
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
