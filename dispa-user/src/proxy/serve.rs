//! One request of a client connection, whichever HTTP it speaks.

use std::{
    cell::{OnceCell, RefCell},
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
};

use http::{HeaderValue, Method, Request, Response, header::HOST};
use hyper::body::Incoming;

use super::{
    check, decide,
    finish::Record,
    forward::{self, Route},
    inbound::Hop,
    origin::Arrival,
    pick,
    reply::{AnyBody, Refusal, Replier},
    seats::{Seat, Seats},
    upgrade::Switched,
    worker::Worker,
};
use crate::{
    config::OnNoBackend,
    exchange::Process,
    framing::Fault,
    types::{Door, HostName, Outcome},
};

/// Who is at the other end, and by which door it came.
#[derive(Debug)]
pub(super) struct Client {
    address: SocketAddr,
    arrival: Option<Arrival>,
    /// The process that made the connection; `None` where nobody wants to know, or it is not known.
    process: Option<Arc<Process>>,
    /// Whose address it is that the connection was going to, as its first request proved.
    proven: Option<HostName>,
    /// Its address, as fields tell it.
    shown: OnceCell<HeaderValue>,
}

impl Client {
    /// Came by a slot, to an address of `proven`; none: no request was seen yet.
    pub(super) fn transparent(arrival: Arrival, proven: Option<HostName>) -> Self {
        let shown = OnceCell::new();
        let process = arrival.process.clone();
        Self { address: arrival.client, arrival: Some(arrival), process, proven, shown }
    }

    pub(super) fn explicit(address: SocketAddr, process: Option<Arc<Process>>) -> Self {
        Self { address, arrival: None, process, proven: None, shown: OnceCell::new() }
    }

    /// The process that made the connection.
    pub(super) fn process(&self) -> Option<&Arc<Process>> {
        self.process.as_ref()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address; an IPv4 one is never shown as an IPv6 one.
    pub(super) fn ip(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }

    /// Its address as a field's value.
    pub(super) fn shown(&self) -> HeaderValue {
        let text = || HeaderValue::try_from(self.ip().to_string());
        // An address has no character that a field cannot have.
        self.shown.get_or_init(|| text().unwrap_or(HeaderValue::from_static("unknown"))).clone()
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

/// A client's connection, as its exchanges see it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) client: Rc<Client>,
    pub(super) worker: Rc<Worker>,
    pub(super) kind: LinkKind,
    /// What the last request called its host, and which that is: most of the next ones are for it.
    last_host: RefCell<Option<(HeaderValue, HostName)>>,
}

/// What an exchange has to do with its connection.
#[derive(Debug)]
pub(super) enum LinkKind {
    /// It has the connection to itself.
    Http1 { hop: Rc<Hop>, switched: Rc<RefCell<Option<Switched>>> },
    /// It is one of many.
    Http2 { seats: Rc<Seats> },
}

/// An exchange that is under way on its connection, until it is dropped.
#[derive(Debug)]
pub(super) enum UnderWay {
    Http1(Rc<Hop>),
    Http2(Seat),
}

impl UnderWay {
    /// Whether it waits for its client.
    pub(super) fn waits(&self, waits: bool) {
        // Over HTTP/1 it shows on the connection.
        if let Self::Http2(seat) = self {
            seat.waits(waits);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Self::Http1(hop) = self {
            hop.ends();
        }
    }
}

impl Link {
    pub(super) fn http1(
        client: &Rc<Client>,
        worker: &Rc<Worker>,
        hop: &Rc<Hop>,
        switched: &Rc<RefCell<Option<Switched>>>,
    ) -> Self {
        let kind = LinkKind::Http1 { hop: Rc::clone(hop), switched: Rc::clone(switched) };
        Self::new(client, worker, kind)
    }

    pub(super) fn http2(client: &Rc<Client>, worker: &Rc<Worker>, seats: &Rc<Seats>) -> Self {
        let kind = LinkKind::Http2 { seats: Rc::clone(seats) };
        Self::new(client, worker, kind)
    }

    fn new(client: &Rc<Client>, worker: &Rc<Worker>, kind: LinkKind) -> Self {
        let last_host = RefCell::default();
        Self { client: Rc::clone(client), worker: Rc::clone(worker), kind, last_host }
    }

    /// The host that `request` is for.
    pub(super) fn host_of(&self, request: &Request<Incoming>) -> Option<HostName> {
        let field = request.headers().get(HOST).filter(|_| request.uri().authority().is_none());
        let last = self.last_host.borrow();
        if let (Some(field), Some((said, host))) = (field, &*last)
            && field == said
        {
            return Some(host.clone());
        }
        drop(last);
        let host = check::host_of(request)?;
        if let Some(field) = field {
            self.last_host.replace(Some((field.clone(), host.clone())));
        }
        Some(host)
    }

    /// Takes the reason why the present request is refused.
    pub(super) fn take_fault(&self) -> Option<Fault> {
        match &self.kind {
            LinkKind::Http1 { hop, .. } => hop.take_fault(),
            LinkKind::Http2 { .. } => None,
        }
    }

    pub(super) fn begin(&self) -> UnderWay {
        match &self.kind {
            LinkKind::Http1 { hop, .. } => UnderWay::Http1(Rc::clone(hop)),
            LinkKind::Http2 { seats } => UnderWay::Http2(seats.take()),
        }
    }
}

/// One request and its response: check, decide, pick, forward; the record ends with the response's
/// body.
pub(super) async fn exchange(
    mut request: Request<Incoming>,
    link: Rc<Link>,
) -> Result<Response<AnyBody>, Infallible> {
    let (client, worker) = (&*link.client, &link.worker);
    let mut record = Record::exchange(client, &request, &worker.ending);
    let replier = Replier::to(&request, &link);
    let host = match check::request(&request, &link) {
        Ok(host) => host,
        Err(refusal) => return Ok(replier.refuse(&refusal, record)),
    };
    record.host(&host);
    if *request.method() == Method::OPTIONS || *request.method() == Method::TRACE {
        match check::forwards(&mut request) {
            Ok(true) => {}
            Ok(false) => return Ok(replier.options(record)),
            Err(refusal) => return Ok(replier.refuse(&refusal, record)),
        }
    }
    // The same for all of the exchange, whatever becomes of the configuration meanwhile.
    let state = worker.state();
    let Some(rule) = decide::request(&host, client, &state) else {
        // What is rare is not to make every exchange larger.
        return Ok(Box::pin(forward::to_origin(request, &link, &state, replier, record)).await);
    };
    record.rule(rule);
    let Some(pool) = state.pool(rule) else {
        return Ok(replier.refuse(&Refusal::of(Outcome::NoBackend), record));
    };
    let (wanted, picked) = pick::for_request(pool, client, &request, &worker.connections);
    let Some((backend, lease)) = picked else {
        if client.arrival().is_some() && state.on_no_backend == OnNoBackend::Passthrough {
            let forwarded = forward::to_origin(request, &link, &state, replier, record);
            return Ok(Box::pin(forwarded).await);
        }
        return Ok(replier.refuse(&Refusal::of(Outcome::NoBackend), record));
    };
    record.backend(backend, lease);
    let route = Route { state: &state, pool, wanted, first: backend };
    Ok(forward::to_backend(request, route, &link, replier, record).await)
}
