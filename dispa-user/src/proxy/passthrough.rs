//! The other step 5: a connection nobody reads goes where it was going all along, or, if it begins
//! TLS with an intercepted domain, to a backend that speaks TLS.

use std::time::Instant;

use tokio::net::TcpStream;

use super::{finish::Record, origin::Arrival, peek::Peeked, worker::Worker};
use crate::{
    config::Scheme,
    net::{self, Failure, Relayed, Side, keep_alive, reset},
    types::Outcome,
    upstream::Backend,
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

/// Relays byte for byte, still encrypted, to the next backend that speaks TLS and can be reached.
pub(super) async fn to_backend(
    peeked: Peeked,
    arrival: &Arrival,
    mut record: Record,
    worker: &Worker,
) {
    let Peeked { stream, prefix, .. } = peeked;
    let pool = &worker.state.pool;
    let mut tried = Vec::new();
    loop {
        let is_next = |it: &Backend| it.scheme == Scheme::Https && !tried.contains(&it.number);
        let Some((backend, lease)) = pool.pick(arrival.client.ip(), is_next) else {
            let nobody = tried.is_empty();
            record.outcome(if nobody { Outcome::NoBackend } else { Outcome::BackendUnreachable });
            return reset(stream);
        };
        record.target(&backend.name);
        record.lease(lease);
        let begun = Instant::now();
        match worker.connections.dial_backend(backend).await {
            Ok(server) => {
                pool.exchanged(backend, begun.elapsed(), true);
                return relay(stream, &prefix, server, Outcome::Ok, record).await;
            }
            Err(error) => {
                tracing::debug!(%error, backend = %backend.name, "the backend cannot be reached");
                if error.is_the_backends() {
                    pool.exchanged(backend, begun.elapsed(), false);
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
