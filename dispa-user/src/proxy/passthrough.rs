//! The other step 5: a connection nobody reads goes where it was going all along, or, if it begins
//! TLS with an intercepted domain, to a backend that speaks TLS.

use std::time::Instant;

use tokio::{net::TcpStream, time::timeout};

use super::{finish::Record, origin::Arrival, peek::Peeked, pick, worker::Worker};
use crate::{
    config::{OnNoBackend, Scheme},
    net::{self, Failure, Relayed, Side, keep_alive, reset},
    rules::Rule,
    state::State,
    types::Outcome,
    upstream::{Backend, Worth},
};

/// Relays byte for byte to the original destination. If that cannot be reached the client sees a
/// reset, as near to a refused connection as a connection already made can come.
pub(super) async fn to_origin(
    peeked: Peeked,
    arrival: &Arrival,
    mut record: Record,
    worker: &Worker,
) {
    let Peeked { stream, prefix, server, .. } = peeked;
    let server = match server {
        Some(server) => Ok(server),
        None => worker.connections.dial(arrival.origin.0, 0).await,
    };
    match server {
        Ok(server) => {
            relay(stream, &prefix, server, Outcome::Relayed, record).await;
        }
        Err(error) => {
            tracing::debug!(%error, "the original destination cannot be reached");
            record.outcome(Outcome::OriginUnreachable);
            reset(stream);
        }
    }
}

/// Relays byte for byte, still encrypted, to the next backend of the rule's pool that speaks TLS and
/// can be reached; where there is none, as the configuration says.
pub(super) async fn to_backend(
    peeked: Peeked,
    arrival: &Arrival,
    rule: &Rule,
    mut record: Record,
    worker: &Worker,
) {
    // The one by which the rule was found: nothing was awaited since.
    let state = worker.state();
    let reached = reach_backend(arrival, rule, &mut record, worker, &state);
    let reached = timeout(state.request_timeout, reached).await;
    let on_no_backend = state.on_no_backend;
    // What follows may take days.
    drop(state);
    match reached.unwrap_or(Err(Outcome::BackendUnreachable)) {
        Ok(server) => relay(peeked.stream, &peeked.prefix, server, Outcome::Ok, record).await,
        Err(_) if on_no_backend == OnNoBackend::Passthrough => {
            record.no_backend();
            to_origin(peeked, arrival, record, worker).await;
        }
        Err(outcome) => {
            record.outcome(outcome);
            reset(peeked.stream);
        }
    }
}

async fn reach_backend(
    arrival: &Arrival,
    rule: &Rule,
    record: &mut Record,
    worker: &Worker,
    state: &State,
) -> Result<TcpStream, Outcome> {
    let backends = &state.backends;
    let pool = backends.pool(rule.pool).ok_or(Outcome::NoBackend)?;
    let wanted = pick::for_connection(pool, arrival);
    // It has a connection to itself, of all that there may be.
    let has_room = |it: &Backend| it.has_room(1);
    let mut tried = Vec::new();
    loop {
        let is_next = |it: &Backend| it.scheme == Scheme::Https && !tried.contains(&it.number);
        let Some((backend, lease)) = pool.pick(wanted, is_next, has_room) else {
            let nobody = tried.is_empty();
            return Err(if nobody { Outcome::NoBackend } else { Outcome::BackendUnreachable });
        };
        record.backend(backend, lease);
        let begun = Instant::now();
        match worker.connections.dial_backend(backend).await {
            Ok(server) => {
                backends.exchanged(backend, begun.elapsed(), Worth::Good);
                return Ok(server);
            }
            Err(error) => {
                tracing::debug!(%error, backend = %backend.name, "the backend cannot be reached");
                if error.is_the_backends() {
                    backends.exchanged(backend, begun.elapsed(), Worth::Failure);
                }
                tried.push(backend.number);
            }
        }
    }
}

async fn relay(
    client: TcpStream,
    ahead: &[u8],
    server: TcpStream,
    good: Outcome,
    mut record: Record,
) {
    let mut ends = Ends::new(client, server);
    let Some((client, server)) = &mut ends.open else { return };
    let Relayed { sent, received, failed } = net::splice(client, ahead, server).await;
    record.bytes(sent, received);
    match failed {
        None => {
            record.outcome(good);
            ends.close();
        }
        Some(Failure::Side(Side::Client) | Failure::Idle) => record.outcome(Outcome::ClientAborted),
        Some(Failure::Side(Side::Server)) if good == Outcome::Ok => {
            record.outcome(Outcome::BackendFailed);
        }
        Some(Failure::Side(Side::Server)) => record.outcome(Outcome::OriginFailed),
    }
}

/// Both ends of a relay. Unless it ended in order they are reset, also when the relay is dropped:
/// neither must take what it got for the whole.
struct Ends {
    open: Option<(TcpStream, TcpStream)>,
}

impl Ends {
    fn new(client: TcpStream, server: TcpStream) -> Self {
        keep_alive(&client);
        keep_alive(&server);
        Self { open: Some((client, server)) }
    }

    fn close(mut self) {
        drop(self.open.take());
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some((client, server)) = self.open.take() {
            reset(client);
            reset(server);
        }
    }
}
