//! The sockets that others know by their addresses: kept apart so that a successor can go on with them.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixListener},
};

use serde::{Deserialize, Serialize};

use crate::net::Listener;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Role {
    /// One worker's listener of the explicit door.
    Explicit,
    /// `/metrics`.
    Metrics,
    /// `/health`.
    Health,
    /// The web page.
    Page,
    /// The admin socket.
    Admin,
}

/// Listening sockets, by what they are for.
#[derive(Debug, Default)]
pub struct Sockets {
    pub(super) explicit: Vec<Listener>,
    pub(super) metrics: Option<Listener>,
    pub(super) health: Option<Listener>,
    pub(super) page: Option<Listener>,
    pub(super) admin: Option<UnixListener>,
}

impl Sockets {
    /// Puts a socket where it belongs.
    pub(super) fn put(&mut self, role: Role, socket: OwnedFd) {
        match role {
            Role::Explicit => self.explicit.push(socket.into()),
            Role::Metrics => self.metrics = Some(socket.into()),
            Role::Health => self.health = Some(socket.into()),
            Role::Page => self.page = Some(socket.into()),
            Role::Admin => self.admin = Some(socket.into()),
        }
    }

    /// The same sockets by descriptors of their own, with this admin socket.
    pub(super) fn try_clone(&self, admin: Option<UnixListener>) -> io::Result<Self> {
        let share = |it: &Option<Listener>| it.as_ref().map(Listener::try_clone).transpose();
        let explicit = self.explicit.iter().map(Listener::try_clone).collect::<io::Result<_>>()?;
        let (metrics, health) = (share(&self.metrics)?, share(&self.health)?);
        Ok(Self { explicit, metrics, health, page: share(&self.page)?, admin })
    }

    /// Takes them all.
    pub(super) fn into_all(self) -> Vec<(Role, OwnedFd)> {
        let explicit = self.explicit.into_iter().map(|it| (Role::Explicit, it.into()));
        let others = [
            self.metrics.map(|it| (Role::Metrics, it.into())),
            self.health.map(|it| (Role::Health, it.into())),
            self.page.map(|it| (Role::Page, it.into())),
            self.admin.map(|it| (Role::Admin, it.into())),
        ];
        explicit.chain(others.into_iter().flatten()).collect()
    }
}
