//! The other step 5: the connection goes where it was going all along.

use super::{finish::Record, origin::Arrival, peek::Peeked, worker::Worker};
use crate::{
    net::{self, Prefixed, reset},
    types::Outcome,
};

/// Relays byte for byte to the original destination. If that cannot be reached the client sees a
/// reset, as near to a refused connection as a connection already made can come.
pub(super) async fn relay(peeked: Peeked, arrival: &Arrival, mut record: Record, worker: &Worker) {
    let server = match peeked.server {
        Some(server) => Ok(server),
        None => worker.connections.dial(arrival.origin.0, 0).await,
    };
    let mut server = match server {
        Ok(server) => server,
        Err(error) => {
            tracing::debug!(%error, "the original destination cannot be reached");
            record.outcome(Outcome::OriginUnreachable);
            return reset(peeked.stream);
        }
    };
    let mut client = Prefixed::new(peeked.prefix, peeked.stream);
    if let Ok((sent, received)) = net::relay(&mut client, &mut server).await {
        record.bytes(sent, received);
        record.outcome(Outcome::Relayed);
    } else {
        // Either side broke off: the other one must not take what it got for the whole.
        record.outcome(Outcome::ClientAborted);
        let (_, client) = client.into_parts();
        reset(client);
        reset(server);
    }
}
