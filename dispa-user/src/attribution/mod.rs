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
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    config::Intercept,
    exchange::Process,
    keeper::Lookup,
    kernel::{Clients, SelectedCgroups},
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
    /// Whose process is not known.
    pub unknown: u64,
}

/// Tells who made a connection. Shared by all workers.
#[derive(Debug)]
pub struct Attribution {
    clients: Clients,
    /// Where more than numbers are wanted.
    named: Option<(Names, Cgroups)>,
    judge: Option<Judge>,
    attributed: AtomicU64,
    unnamed: AtomicU64,
    unknown: AtomicU64,
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
        let (attributed, unnamed, unknown) = Default::default();
        Self { clients, named, judge, attributed, unnamed, unknown }
    }

    /// Who made the connection from the socket at `client` to `here`.
    #[must_use]
    pub fn of(
        &self,
        diag: Option<&SocketDiag>,
        client: SocketAddr,
        here: SocketAddr,
    ) -> Attributed {
        let cookie = diag.map(|diag| diag.cookie(client, here)).transpose();
        let cookie = cookie.inspect_err(|error| tracing::debug!(%error, "whose socket?"));
        let note = cookie.ok().flatten().flatten().and_then(|cookie| self.clients.take(cookie));
        let Some(note) = note else {
            self.unknown.fetch_add(1, Ordering::Relaxed);
            return Attributed { process: None, left_alone: self.judge.is_some() };
        };
        self.attributed.fetch_add(1, Ordering::Relaxed);
        let process = match &self.named {
            None => Arc::new(Process::numbered(note.process, note.user)),
            Some((names, cgroups)) => names.of(&note, cgroups),
        };
        if self.named.is_some() && process.name.is_none() {
            self.unnamed.fetch_add(1, Ordering::Relaxed);
        }
        let left_alone = self.judge.as_ref().is_some_and(|it| it.leaves_alone(&process));
        if let (true, Some(judge), Some(path)) = (left_alone, &self.judge, &process.cgroup) {
            judge.judge(note.cgroup, path);
        }
        Attributed { process: Some(process), left_alone }
    }

    /// Forgets connections that never arrived.
    pub fn tidy(&self) {
        self.clients.forget_old();
    }

    /// How many it was asked for so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            attributed: self.attributed.load(Ordering::Relaxed),
            unnamed: self.unnamed.load(Ordering::Relaxed),
            unknown: self.unknown.load(Ordering::Relaxed),
        }
    }
}
