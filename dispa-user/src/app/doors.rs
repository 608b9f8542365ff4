//! Opens the doors and deals their listeners out to the workers.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
};

use super::StartError;
use crate::{
    keeper::Keeper,
    kernel::Doors,
    net::{Listener, TransparentDoor, explicit_door, is_at, slot_prefix, transparent_door},
    proxy::Listeners,
    types::Door,
};

/// Every listener, by worker, and what the kernel side must know of them.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) listeners: Vec<Listeners>,
    /// Where the explicit door turned out to be.
    pub(super) at: Option<SocketAddr>,
    pub(super) doors: Option<Doors>,
}

/// Opens the explicit door at `explicit`, or goes on with what a predecessor had there, and, if
/// `transparent`, the one that slots lead to.
pub(super) fn open(
    explicit: Option<SocketAddr>,
    handed: Vec<Listener>,
    transparent: bool,
    workers: NonZeroUsize,
    keeper: &Keeper,
) -> Result<Opened, StartError> {
    let listeners = (0..workers.get())
        .map(|_| Listeners { transparent: Vec::new(), datagrams: Vec::new(), explicit: Vec::new() })
        .collect();
    let mut opened = Opened { listeners, at: None, doors: None };
    if let Some(address) = explicit {
        let mut door: Vec<_> = handed.into_iter().filter(|it| is_at(it, address)).collect();
        if door.is_empty() {
            door = explicit_door(address, workers)?;
        }
        opened.at = announce(Door::Explicit, &door);
        opened.deal_explicit(&door).map_err(StartError::system("share the explicit door"))?;
    }
    if transparent {
        opened.open_transparent(workers, keeper)?;
    }
    Ok(opened)
}

impl Opened {
    /// Every listener has a worker, and every worker a listener: a predecessor may have had fewer or more.
    fn deal_explicit(&mut self, door: &[Listener]) -> io::Result<()> {
        let (workers, listeners) = (self.listeners.len(), door.len());
        for turn in 0..workers.max(listeners) {
            let listener = door[turn % listeners].try_clone()?;
            self.listeners[turn % workers].explicit.push(listener);
        }
        Ok(())
    }

    /// The explicit door's listeners, by descriptors of their own, each once.
    pub(super) fn explicit(&self) -> io::Result<Vec<Listener>> {
        self.listeners.iter().flat_map(|it| &it.explicit).map(Listener::try_clone).collect()
    }

    fn open_transparent(
        &mut self,
        workers: NonZeroUsize,
        keeper: &Keeper,
    ) -> Result<(), StartError> {
        let door4 = transparent_door(Ipv4Addr::LOCALHOST.into(), workers)?;
        let port4 = door4.port;
        self.deal(door4);
        let door6 = match self.open_ipv6(workers, keeper) {
            Ok(port6) => Some((port6, slot_prefix(port6))),
            Err(error) => {
                tracing::warn!(
                    error,
                    "no door for IPv6: connections to IPv6 addresses are not intercepted"
                );
                None
            }
        };
        self.doors = Some(Doors { port4, door6 });
        Ok(())
    }

    /// A host without IPv6 has neither its addresses nor its routes.
    fn open_ipv6(&mut self, workers: NonZeroUsize, keeper: &Keeper) -> Result<u16, String> {
        let door = transparent_door(Ipv6Addr::LOCALHOST.into(), workers)
            .map_err(|error| error.to_string())?;
        let port = door.port;
        keeper.route(port).map_err(|error| error.to_string())?;
        self.deal(door);
        Ok(port)
    }

    fn deal(&mut self, door: TransparentDoor) {
        announce(Door::Transparent, &door.listeners);
        let sockets = door.listeners.into_iter().zip(door.datagrams);
        for (worker, (listener, datagrams)) in self.listeners.iter_mut().zip(sockets) {
            worker.transparent.push(listener);
            worker.datagrams.push(datagrams);
        }
    }
}

/// Says where the door is.
fn announce(door: Door, listeners: &[Listener]) -> Option<SocketAddr> {
    let address = listeners.first()?.local_addr().ok()?;
    tracing::info!(door = door.name(), %address, "listening");
    Some(address)
}
