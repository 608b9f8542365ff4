//! Opens the doors and deals their listeners out to the workers.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
};

use super::StartError;
use crate::{
    kernel::Doors,
    net::{Listener, SlotRoute, TransparentDoor, explicit_door, slot_prefix, transparent_door},
    proxy::Listeners,
    types::Door,
};

/// Every listener, by worker, and what the kernel side must know of them.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) listeners: Vec<Listeners>,
    pub(super) doors: Option<Doors>,
    pub(super) route: Option<SlotRoute>,
}

/// Opens the explicit door at `explicit` and, if `transparent`, the one that slots lead to.
pub(super) async fn open(
    explicit: Option<SocketAddr>,
    transparent: bool,
    workers: NonZeroUsize,
) -> Result<Opened, StartError> {
    let mut listeners: Vec<Listeners> = (0..workers.get())
        .map(|_| Listeners { transparent: Vec::new(), datagrams: Vec::new(), explicit: None })
        .collect();
    if let Some(address) = explicit {
        let door = explicit_door(address, workers)?;
        announce(Door::Explicit, &door);
        for (worker, listener) in listeners.iter_mut().zip(door) {
            worker.explicit = Some(listener);
        }
    }
    let mut opened = Opened { listeners, doors: None, route: None };
    if transparent {
        opened.open_transparent(workers).await?;
    }
    Ok(opened)
}

impl Opened {
    async fn open_transparent(&mut self, workers: NonZeroUsize) -> Result<(), StartError> {
        let door4 = transparent_door(Ipv4Addr::LOCALHOST.into(), workers)?;
        let port4 = door4.port;
        self.deal(door4);
        let door6 = match self.open_ipv6(workers).await {
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
    async fn open_ipv6(&mut self, workers: NonZeroUsize) -> Result<u16, String> {
        let door = transparent_door(Ipv6Addr::LOCALHOST.into(), workers)
            .map_err(|error| error.to_string())?;
        let port = door.port;
        self.route = Some(SlotRoute::add(port).await.map_err(|error| error.to_string())?);
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

fn announce(door: Door, listeners: &[Listener]) {
    if let Some(address) = listeners.first().and_then(|listener| listener.local_addr().ok()) {
        tracing::info!(door = door.name(), %address, "listening");
    }
}
