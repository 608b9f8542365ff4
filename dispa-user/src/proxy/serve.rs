//! One client connection that speaks HTTP/1, request after request.

use std::{convert::Infallible, net::SocketAddr, pin::pin, rc::Rc};

use http::{Method, Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    decide,
    finish::Record,
    forward,
    origin::Arrival,
    pick,
    reply::{AnyBody, refusal},
    worker::Worker,
};
use crate::{
    life::Phase,
    types::{Door, HostName, Outcome},
};

/// Who is at the other end, and by which door it came.
#[derive(Debug)]
pub(super) struct Client {
    address: SocketAddr,
    arrival: Option<Arrival>,
}

impl Client {
    pub(super) fn transparent(arrival: Arrival) -> Self {
        Self { address: arrival.client, arrival: Some(arrival) }
    }

    pub(super) fn explicit(address: SocketAddr) -> Self {
        Self { address, arrival: None }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The slot it came by; `None` at the explicit door.
    pub(super) fn arrival(&self) -> Option<&Arrival> {
        self.arrival.as_ref()
    }

    pub(super) fn door(&self) -> Door {
        if self.arrival.is_some() { Door::Transparent } else { Door::Explicit }
    }
}

/// Serves requests until either side closes; after the present one where the daemon drains.
pub(super) async fn http1<S>(stream: S, client: Client, worker: Rc<Worker>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut stopped = worker.stopped.clone();
    let client = Rc::new(client);
    let service = service_fn(|request| {
        let (client, worker) = (Rc::clone(&client), Rc::clone(&worker));
        async move { Ok::<_, Infallible>(exchange(request, &client, &worker).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(worker.state.keep_alive_timeout)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    // Errors of a client's connection are its own; every exchange on it has its record.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stopped.reached(Phase::Draining) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// One request and its response: decide, pick, forward; the record ends with the response's body.
async fn exchange(
    request: Request<Incoming>,
    client: &Rc<Client>,
    worker: &Rc<Worker>,
) -> Response<AnyBody> {
    let path = request.uri().path();
    let mut record = Record::exchange(client, request.method(), path, worker.stopped.clone());
    let Some(host) = host_of(&request) else {
        return refusal(Outcome::BadRequest, record);
    };
    record.host(&host);
    if request.method() == Method::CONNECT {
        return refusal(Outcome::BadRequest, record);
    }
    let Some(rule) = decide::request(&host, client, &worker.state) else {
        return forward::to_origin(request, client, record, worker).await;
    };
    record.rule(rule);
    let Some((backend, lease)) = pick::backend(&worker.state) else {
        return refusal(Outcome::NoBackend, record);
    };
    record.target(&backend.name);
    forward::to_backend(request, backend, lease, record, worker).await
}

/// The host of a request: of its absolute form, else of its one Host field (RFC 9112 section 3.2).
fn host_of(request: &Request<Incoming>) -> Option<HostName> {
    let mut fields = request.headers().get_all(http::header::HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return None;
    }
    let authority = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => field?.to_str().ok()?,
    };
    HostName::from_authority(authority.trim()).ok().map(|(host, _)| host)
}
