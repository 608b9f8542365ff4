//! Who made a connection: the process, user and cgroup that the kernel noted when it was made, and the
//! names that these go by.
//!
//! What the kernel noted is found by the cookie of the socket at the other end, so that nothing can be
//! confused. Names come from `/proc` and from the cgroup's id: once for each process, on the worker's
//! own thread, for the process may be gone a moment later. Only files are read that no other process can
//! make us wait for; `/proc/PID/cgroup` is not among them, for which the kernel takes a lock that
//! whoever changes cgroups may hold.

mod cgroups;
mod names;
mod recent;
mod selection;
mod status;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use dispa_common::{ClientGroup, ClientProcess};

use crate::{
    config::Intercept,
    exchange::Process,
    keeper::Lookup,
    kernel::{Cgroup2, Clients, SelectedCgroups},
    net::SocketDiag,
};

use cgroups::Cgroups;
use names::Names;
use selection::Judge;

pub use selection::kernel_selection;

/// Who made a connection, and whether it is to be left alone for that.
#[derive(Clone, Debug, Default)]
pub struct Attributed {
    /// The process; `None` where it is not known.
    pub process: Option<Arc<Process>>,
    /// With whom it shares what room there is; `None` where that is not known.
    pub group: Option<ClientGroup>,
    /// It is not among those whose connections are intercepted, which the kernel side could not know.
    pub left_alone: bool,
}

/// How many connections it was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Whose process is known.
    pub attributed: u64,
    /// Of those, whose process was gone before its names were read.
    pub unnamed: u64,
    /// Whose process is not known, though it may be one of this host.
    pub unknown: u64,
    /// That came to the explicit door from elsewhere.
    pub remote: u64,
}

/// Tells who made a connection. Shared by all workers.
#[derive(Debug)]
pub struct Attribution {
    clients: Clients,
    /// Where more than numbers are wanted.
    named: Option<(Names, Cgroups)>,
    judge: Option<Judge>,
    /// There are programs that are not intercepted. Who arrives without having been redirected may be one
    /// of them, and is to reach nothing that it could not reach by itself.
    leaves_some_alone: AtomicBool,
    /// Those that have one, and where names are not asked for.
    named_count: AtomicU64,
    unnamed: AtomicU64,
    unknown: AtomicU64,
    remote: AtomicU64,
}

impl Attribution {
    /// By what the kernel notes in `clients`. What it cannot know of the cgroups that `intercept` names
    /// is told to it in `selected`; `lookup` tells the names.
    #[must_use]
    pub fn new(
        clients: Clients,
        selected: SelectedCgroups,
        intercept: &Intercept,
        lookup: &Lookup,
    ) -> Self {
        let named = intercept
            .names_processes()
            .then(|| (Names::new(lookup.clone()), Cgroups::new(lookup.clone())));
        let judge = intercept.judges_processes().then(|| Judge::new(intercept, selected, lookup));
        if let Some(judge) = &judge {
            judge.judge_those_there();
        }
        let has_lists = !intercept.include.is_empty() || !intercept.exclude.is_empty();
        let leaves_some_alone = AtomicBool::new(has_lists);
        let (named_count, unnamed, unknown, remote) = Default::default();
        Self { clients, named, judge, leaves_some_alone, named_count, unnamed, unknown, remote }
    }

    /// Connections are redirected that are made in this cgroup directory.
    pub fn attached(&self, cgroup: &Path) {
        if !Cgroup2::find().is_ok_and(|mount| mount.root() == cgroup) {
            self.leaves_some_alone.store(true, Ordering::Relaxed);
        }
    }

    /// Who made the connection from the socket at `client` to the slot `here`.
    #[must_use]
    pub fn of(
        &self,
        diag: Option<&SocketDiag>,
        client: SocketAddr,
        here: SocketAddr,
    ) -> Attributed {
        let note = cookie(diag, client, here).and_then(|cookie| self.clients.take(cookie));
        let Some(note) = note else {
            self.unknown.fetch_add(1, Ordering::Relaxed);
            // Where the kernel tells of nobody, who was redirected cannot be told from who was not.
            let left_alone = match diag {
                Some(_) => self.leaves_some_alone.load(Ordering::Relaxed),
                None => self.judge.is_some(),
            };
            return Attributed { left_alone, ..Attributed::default() };
        };
        let process = self.process(&note);
        let left_alone = self.judge.as_ref().is_some_and(|it| it.leaves_alone(&process));
        if let (true, Some(judge), Some(path)) = (left_alone, &self.judge, &process.cgroup) {
            judge.judge(note.cgroup, path);
        }
        let group = ClientGroup { cgroup: note.cgroup, user: note.user, padding: 0 };
        Attributed { process: Some(process), group: Some(group), left_alone }
    }

    /// Who made the connection from the socket at `client` to `here`, the explicit door, which is open
    /// to whoever comes: to other hosts' programs as well, of which nothing is known here.
    #[must_use]
    pub fn of_explicit(
        &self,
        diag: Option<&SocketDiag>,
        client: SocketAddr,
        here: SocketAddr,
    ) -> Option<Arc<Process>> {
        let cookie = cookie(diag, client, here);
        if let Some(note) = cookie.and_then(|cookie| self.clients.take(cookie)) {
            return Some(self.process(&note));
        }
        // A socket of this host may be gone, but not the address that it had.
        let is_ours = cookie.is_some() || client.ip().is_loopback() || client.ip() == here.ip();
        let count = if is_ours { &self.unknown } else { &self.remote };
        count.fetch_add(1, Ordering::Relaxed);
        None
    }

    fn process(&self, note: &ClientProcess) -> Arc<Process> {
        let (process, count) = match &self.named {
            None => (Arc::new(Process::numbered(note.process, note.user)), &self.named_count),
            Some((names, cgroups)) => {
                let process = names.of(note, cgroups);
                let has_name = process.name.is_some();
                (process, if has_name { &self.named_count } else { &self.unnamed })
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
        process
    }

    /// Forgets connections that never arrived.
    pub fn tidy(&self) {
        self.clients.forget_old();
    }

    /// How many it was asked for so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let unnamed = self.unnamed.load(Ordering::Relaxed);
        Counts {
            attributed: self.named_count.load(Ordering::Relaxed) + unnamed,
            unnamed,
            unknown: self.unknown.load(Ordering::Relaxed),
            remote: self.remote.load(Ordering::Relaxed),
        }
    }
}

/// Of the socket at `client` that is connected to `here`; `None`: this host has no such socket, or does
/// not tell.
fn cookie(diag: Option<&SocketDiag>, client: SocketAddr, here: SocketAddr) -> Option<u64> {
    let asked = diag?.cookie(client, here);
    asked.inspect_err(|error| tracing::debug!(%error, "whose socket?")).ok().flatten()
}
