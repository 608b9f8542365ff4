//! Step 1: where the program wanted to go, read off the slot it was sent to.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::worker::Worker;
use crate::{kernel::SlotLease, types::OriginalDestination};

/// A connection whose slot stands for something.
#[derive(Debug)]
pub(super) struct Arrival {
    /// The program's end.
    pub(super) client: SocketAddr,
    /// Where it wanted to go.
    pub(super) origin: OriginalDestination,
    /// Keeps the slot's meaning for as long as the connection lives.
    _lease: SlotLease,
}

impl Arrival {
    /// Of `client`, by the slot that `lease` holds.
    pub(super) fn new(client: SocketAddr, lease: SlotLease) -> Self {
        Self { client, origin: OriginalDestination::new(lease.destination()), _lease: lease }
    }
}

/// `None` for a connection to an address of `lo` that is no slot, or to a slot that stands for
/// nothing: there is nowhere to take it.
pub(super) fn of(stream: &TcpStream, worker: &Worker) -> Option<Arrival> {
    let interception = worker.state.interception.as_ref()?;
    let lease = interception.arrived(stream.local_addr().ok()?.ip())?;
    Some(Arrival::new(stream.peer_addr().ok()?, lease))
}
