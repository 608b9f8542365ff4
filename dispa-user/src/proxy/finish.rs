//! The last step: one record for each exchange, whatever became of it.

use std::{
    error::Error,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{HeaderName, Method, Request, StatusCode, Version, uri::PathAndQuery};
use http_body::{Body, Frame, SizeHint};
use uuid::Uuid;

use super::{
    origin::Arrival,
    serve::{Client, UnderWay},
};
use crate::{
    exchange::{Exchange, Process, Protocol, new_id},
    framing::Fault,
    life::{Phase, Stopped},
    rules::{Pattern, Rule},
    state::Ledger,
    types::{Door, HostName, OriginalDestination, Outcome},
    upstream::{Backend, Lease, Progress, ResponseBodyError},
};

/// Why a body ended early, whatever body it is.
type AnyError = Box<dyn Error + Send + Sync>;

/// What every record of a worker ends with.
#[derive(Debug)]
pub(super) struct Ending {
    /// Says why a task may have been dropped.
    pub(super) stopped: Stopped,
    /// Is told.
    pub(super) ledger: Arc<Ledger>,
}

/// What is known of an exchange, or of a relayed connection. The ledger is told when it is dropped,
/// so that an exchange whose task is dropped is recorded like any other.
#[derive(Debug)]
pub(super) struct Record {
    door: Door,
    client: SocketAddr,
    origin: Option<OriginalDestination>,
    process: Option<Arc<Process>>,
    protocol: Protocol,
    host: Option<HostName>,
    method: Option<Method>,
    target_path: Option<PathAndQuery>,
    headers: Vec<(HeaderName, Box<[u8]>)>,
    rule: Option<Pattern>,
    target: Option<Arc<str>>,
    attempts: u32,
    status: Option<StatusCode>,
    first_byte: Option<Duration>,
    /// How far the request's body has got.
    request: Option<Progress>,
    /// Bytes from and to the client.
    bytes: (u64, u64),
    id: Option<Uuid>,
    fault: Option<Fault>,
    outcome: Option<Outcome>,
    started: Instant,
    ending: Rc<Ending>,
    lease: Option<Lease>,
    silent: bool,
}

impl Record {
    /// A connection through a slot, of which nothing is known yet.
    pub(super) fn transparent(arrival: &Arrival, ending: &Rc<Ending>) -> Self {
        let mut record = Self::new(Door::Transparent, arrival.client, Protocol::Tcp, ending);
        record.origin = Some(arrival.origin);
        record.process.clone_from(&arrival.process);
        record
    }

    /// A request of a served connection.
    pub(super) fn exchange<B>(client: &Client, request: &Request<B>, ending: &Rc<Ending>) -> Self {
        let protocol = match request.version() {
            Version::HTTP_2 => Protocol::Http2,
            _ => Protocol::Http1,
        };
        let mut record = Self::new(client.door(), client.address(), protocol, ending);
        record.origin = client.arrival().map(|arrival| arrival.origin);
        record.process = client.process().cloned();
        record.method = Some(request.method().clone());
        record.target_path = request.uri().path_and_query().cloned();
        record.headers = ending.ledger.written_fields(request.headers());
        record
    }

    fn new(door: Door, client: SocketAddr, protocol: Protocol, ending: &Rc<Ending>) -> Self {
        Self {
            door,
            client,
            origin: None,
            process: None,
            protocol,
            host: None,
            method: None,
            target_path: None,
            headers: Vec::new(),
            rule: None,
            target: None,
            attempts: 0,
            status: None,
            first_byte: None,
            request: None,
            bytes: (0, 0),
            id: None,
            fault: None,
            outcome: None,
            started: Instant::now(),
            ending: Rc::clone(ending),
            lease: None,
            silent: false,
        }
    }

    /// What is spoken on the connection, once that is known.
    pub(super) fn protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// It is TLS, to a server of this name.
    pub(super) fn tls(&mut self, server: Option<&HostName>) {
        self.protocol = Protocol::Tls;
        self.host = server.cloned();
    }

    pub(super) fn host(&mut self, host: &HostName) {
        self.host = Some(host.clone());
    }

    pub(super) fn rule(&mut self, rule: &Rule) {
        self.rule = Some(rule.pattern.clone());
    }

    /// The backend that is to answer; it counts as busy until this record is dropped.
    pub(super) fn backend(&mut self, backend: &Backend, lease: Lease) {
        backend.note_taken();
        self.target = Some(Arc::clone(&backend.name));
        self.lease = Some(lease);
        self.attempts += 1;
    }

    /// It goes to its original destination after all.
    pub(super) fn no_backend(&mut self) {
        self.target = None;
        self.lease = None;
    }

    /// The request is on its way.
    pub(super) fn request(&mut self, progress: Progress) {
        self.request = Some(progress);
    }

    /// The head of the response is there.
    pub(super) fn status(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.first_byte = Some(self.started.elapsed());
    }

    /// Bytes relayed, from client to server and back.
    pub(super) fn bytes(&mut self, sent: u64, received: u64) {
        self.request = None;
        self.bytes = (sent, received);
    }

    fn response_data(&mut self, bytes: usize) {
        self.bytes.1 += bytes as u64;
    }

    /// It was refused by us, in an answer of this id.
    pub(super) fn refusal(&mut self, id: Uuid, fault: Option<Fault>) {
        self.id = Some(id);
        self.fault = fault;
        if fault.is_some() {
            // Nothing of such a request is worth repeating; of one whose head was refused there is
            // nothing to repeat.
            (self.method, self.target_path) = (None, None);
            self.headers = Vec::new();
        }
    }

    /// How it ended; the first word counts.
    pub(super) fn outcome(&mut self, outcome: Outcome) {
        self.outcome.get_or_insert(outcome);
    }

    /// Ends the record of a client that is gone.
    pub(super) fn client_aborted(mut self) {
        self.outcome(Outcome::ClientAborted);
    }

    /// The connection is served: each of its exchanges has a record of its own.
    pub(super) fn replaced_by_exchanges(mut self) {
        self.silent = true;
    }

    /// Nobody said how it ended: its task was dropped, for the client went away or we stopped.
    fn dropped(&self) -> Outcome {
        if std::thread::panicking() {
            return Outcome::Internal;
        }
        match self.ending.stopped.phase() {
            Phase::Stopping => Outcome::Stopped,
            Phase::Running | Phase::Retiring | Phase::Draining => Outcome::ClientAborted,
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.silent {
            return;
        }
        let duration = self.started.elapsed();
        let now = SystemTime::now();
        let began = now.checked_sub(duration).unwrap_or(now);
        let (sent, received) = self.bytes;
        self.ending.ledger.finished(Exchange {
            id: self.id.unwrap_or_else(|| new_id(began)),
            began,
            duration,
            first_byte: self.first_byte,
            door: self.door,
            client: self.client,
            origin: self.origin,
            process: self.process.take(),
            protocol: self.protocol,
            host: self.host.take(),
            method: self.method.take(),
            path: self.target_path.take(),
            headers: std::mem::take(&mut self.headers),
            rule: self.rule.take(),
            target: self.target.take(),
            attempts: self.attempts,
            status: self.status,
            request_bytes: self.request.as_ref().map_or(sent, Progress::taken),
            response_bytes: received,
            fault: self.fault,
            outcome: self.outcome.unwrap_or_else(|| self.dropped()),
        });
    }
}

/// A response body that takes the record along: the exchange ends when the body does.
#[derive(Debug)]
pub(super) struct Recorded<B> {
    inner: B,
    record: Option<Record>,
    under_way: Option<UnderWay>,
    broken: Option<AnyError>,
}

impl<B: Body> Recorded<B> {
    /// A body that is at its end from the start (that of a 204 or 304, or of an answer to HEAD) is
    /// never asked for a frame: there is nothing of it that could fail to arrive.
    pub(super) fn new(inner: B, mut record: Record, under_way: UnderWay) -> Self {
        if inner.is_end_stream() {
            record.outcome(Outcome::Ok);
        }
        Self { inner, record: Some(record), under_way: Some(under_way), broken: None }
    }

    /// A body whose exchange is recorded elsewhere.
    pub(super) fn unrecorded(inner: B) -> Self {
        Self { inner, record: None, under_way: None, broken: None }
    }

    fn outcome(&mut self, outcome: Outcome) {
        if let Some(record) = &mut self.record {
            record.outcome(outcome);
        }
    }
}

impl<B> Body for Recorded<B>
where
    B: Body<Data = Bytes, Error: Into<AnyError>> + Unpin,
{
    type Data = Bytes;
    type Error = AnyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnyError>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        let frame = frame.map(|frame| frame.map(|frame| frame.map_err(Into::into)));
        // Until it asks for the next one, what was given waits for the client.
        if let Some(under_way) = &self.under_way {
            under_way.waits(matches!(frame, Poll::Ready(Some(Ok(_)))));
        }
        match &frame {
            Poll::Ready(None) => self.outcome(Outcome::Ok),
            Poll::Ready(Some(Err(error))) => self.outcome(outcome_of(&**error)),
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(record), Some(data)) = (&mut self.record, frame.data_ref()) {
                    record.response_data(data.len());
                }
                if frame.is_trailers() || self.inner.is_end_stream() {
                    self.outcome(Outcome::Ok);
                }
            }
            Poll::Pending => {}
        }
        if let Poll::Ready(Some(Err(error))) = frame {
            // Told the next time: what came before it is to reach the client, and hyper would drop
            // what has not left yet.
            self.broken = Some(error);
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn outcome_of(error: &(dyn Error + 'static)) -> Outcome {
    match error.downcast_ref() {
        Some(ResponseBodyError::Stalled) => Outcome::Timeout,
        Some(ResponseBodyError::Broken(_)) | None => Outcome::BackendFailed,
    }
}

#[cfg(test)]
pub(super) mod tests;
