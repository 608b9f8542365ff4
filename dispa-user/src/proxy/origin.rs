//! Step 1: where the program wanted to go, read off the slot it was sent to, and which program it is.

use std::{net::SocketAddr, sync::Arc};

use tokio::net::TcpStream;

use super::{serve::Client, worker::Worker};
use crate::{
    attribution::Attributed,
    exchange::Process,
    kernel::SlotLease,
    state::{Capacity, Share},
    types::OriginalDestination,
};

/// A connection whose slot stands for something.
#[derive(Debug)]
pub(super) struct Arrival {
    /// The program's end.
    pub(super) client: SocketAddr,
    /// Where it wanted to go.
    pub(super) origin: OriginalDestination,
    /// The process that made it; `None` where nobody wants to know, or it is not known.
    pub(super) process: Option<Arc<Process>>,
    /// It is not to be intercepted, for whose it is.
    pub(super) left_alone: bool,
    /// Keeps the slot's meaning for as long as the connection lives.
    _lease: SlotLease,
    /// Has it count for whose it is.
    _share: Option<Share>,
}

impl Arrival {
    /// Of `client`, by the slot that `lease` holds.
    pub(super) fn new(
        client: SocketAddr,
        whose: Attributed,
        lease: SlotLease,
        capacity: &Arc<Capacity>,
    ) -> Self {
        let origin = OriginalDestination::new(lease.destination());
        let Attributed { process, group, left_alone } = whose;
        let share = group.map(|group| capacity.join(group));
        Self { client, origin, process, left_alone, _lease: lease, _share: share }
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
    let attribution = interception.attribution();
    let whose = attribution.map(|it| it.of(worker.socket_diag.as_ref(), client, here));
    Some(Arrival::new(client, whose.unwrap_or_default(), lease, &worker.capacity))
}

/// Who speaks to the explicit door; `None`: it is gone again.
pub(super) fn of_explicit(stream: &TcpStream, worker: &Worker) -> Option<Client> {
    let client = stream.peer_addr().ok()?;
    let attribution = worker.interception.as_ref().and_then(|it| it.attribution());
    let process = attribution.zip(stream.local_addr().ok()).and_then(|(attribution, here)| {
        attribution.of_explicit(worker.socket_diag.as_ref(), client, here)
    });
    Some(Client::explicit(client, process))
}
