//! Step 1: where the program wanted to go, read off the slot it was sent to.

use std::{net::SocketAddr, sync::Arc};

use tokio::net::TcpStream;

use super::worker::Worker;
use crate::{exchange::Process, kernel::SlotLease, types::OriginalDestination};

/// A connection whose slot stands for something.
#[derive(Debug)]
pub(super) struct Arrival {
    /// The program's end.
    pub(super) client: SocketAddr,
    /// Where it wanted to go.
    pub(super) origin: OriginalDestination,
    /// The process that made it; `None` where nobody needs to know, or it is not remembered.
    pub(super) process: Option<Arc<Process>>,
    /// Keeps the slot's meaning for as long as the connection lives.
    _lease: SlotLease,
}

impl Arrival {
    /// Of `client`, by the slot that `lease` holds.
    pub(super) fn new(client: SocketAddr, process: Option<Arc<Process>>, lease: SlotLease) -> Self {
        let origin = OriginalDestination::new(lease.destination());
        Self { client, origin, process, _lease: lease }
    }

    /// The process that made it.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.pid)
    }
}

/// `None` for a connection to an address of `lo` that is no slot, or to a slot that stands for
/// nothing: there is nowhere to take it.
pub(super) fn of(stream: &TcpStream, worker: &Worker) -> Option<Arrival> {
    let interception = worker.interception.as_ref()?;
    let here = stream.local_addr().ok()?;
    let lease = interception.arrived(here.ip())?;
    let client = stream.peer_addr().ok()?;
    Some(Arrival::new(client, process(client, here, worker), lease))
}

/// The process of the socket at `client` that is connected to `here`.
fn process(client: SocketAddr, here: SocketAddr, worker: &Worker) -> Option<Arc<Process>> {
    let clients = worker.interception.as_ref()?.clients()?;
    let cookie = worker.socket_diag.as_ref()?.cookie(client, here);
    let cookie = cookie.inspect_err(|error| tracing::debug!(%error, "whose socket?")).ok()??;
    let client = clients.of(cookie)?;
    Some(Arc::new(Process::numbered(client.process, client.user)))
}
