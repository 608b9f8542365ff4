//! One client connection that speaks HTTP/1, request after request.

use std::{convert::Infallible, net::SocketAddr, pin::pin, rc::Rc};

use http::{HeaderValue, Method, Request, Response, header};
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
    config::Scheme,
    life::Phase,
    sniff,
    types::{Door, HostName, Outcome},
};

/// Who is at the other end, and by which door it came.
#[derive(Debug)]
pub(super) struct Client {
    address: SocketAddr,
    arrival: Option<Arrival>,
    /// Whose address it is that the connection was going to, as its first request proved.
    proven: Option<HostName>,
}

impl Client {
    /// Came by a slot, to an address of `proven`.
    pub(super) fn transparent(arrival: Arrival, proven: HostName) -> Self {
        Self { address: arrival.client, arrival: Some(arrival), proven: Some(proven) }
    }

    pub(super) fn explicit(address: SocketAddr) -> Self {
        Self { address, arrival: None, proven: None }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The slot it came by; `None` at the explicit door.
    pub(super) fn arrival(&self) -> Option<&Arrival> {
        self.arrival.as_ref()
    }

    /// Whether the connection was going to an address of `host` when it was made: it stays with the
    /// same server for as long as it lives, though the name may move on.
    pub(super) fn has_proven(&self, host: &HostName) -> bool {
        self.proven.as_ref() == Some(host)
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
        // First the connection: what it has read already is still answered.
        biased;
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
    let Some(request) = forward::prepare(request) else {
        return refusal(Outcome::BadRequest, record);
    };
    let Some(rule) = decide::request(&host, client, &worker.state) else {
        return forward::to_origin(request, client, record, worker).await;
    };
    record.rule(rule);
    let Some((backend, lease)) = pick::backend(&worker.state, Scheme::Http) else {
        return refusal(Outcome::NoBackend, record);
    };
    record.target(&backend.name);
    forward::to_backend(request, backend, lease, record, worker).await
}

/// The host of a request, by the rule that its connection was judged by.
fn host_of<B>(request: &Request<B>) -> Option<HostName> {
    let fields = request.headers().get_all(header::HOST).iter();
    sniff::host_of(request.uri(), fields.map(HeaderValue::as_bytes))
}

#[cfg(test)]
mod tests;
