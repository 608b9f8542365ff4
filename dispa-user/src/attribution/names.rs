//! The names of processes, each read once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dispa_common::ClientProcess;

use super::{
    cgroups::{Cgroup, Cgroups},
    recent::Recent,
    status::{Status, has_kernels_numbers, printable},
};
use crate::{exchange::Process, keeper::Lookup};

/// How long what was read of a process is taken for true, in ns. Until its number stands for another
/// process all others must have had their turn: 32,768 at least.
const GOOD_NS: u64 = 20_000_000;

/// What is known of the processes that made connections of late.
#[derive(Debug)]
pub(super) struct Names {
    /// Whether `/proc` means the same processes as the kernel.
    are_there: bool,
    lookup: Lookup,
    recent: Mutex<Recent<Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    status: Status,
    /// When it connected that time; it was there then, and after that.
    seen_ns: u64,
    cgroup: u64,
    process: Arc<Process>,
}

impl Known {
    fn fits(&self, note: &ClientProcess) -> bool {
        self.process.uid == Some(note.user) && self.cgroup == note.cgroup
    }

    /// Whether it is of the process that made this note, beyond doubt and without another look.
    fn is_good_for(&self, note: &ClientProcess) -> bool {
        let good = self.status.started_ns..=self.seen_ns.saturating_add(GOOD_NS);
        self.fits(note) && good.contains(&note.at_ns)
    }
}

impl Names {
    /// Nobody is known yet.
    pub(super) fn new(lookup: Lookup) -> Self {
        let are_there = has_kernels_numbers();
        if !are_there {
            tracing::warn!("processes have no names: dispa lives in a pid namespace of its own");
        }
        Self { are_there, lookup, recent: Mutex::default() }
    }

    /// The process that made this note. Of one that is gone there are no names, unless it was known.
    pub(super) fn of(&self, note: &ClientProcess, cgroups: &Cgroups) -> Arc<Process> {
        let key = u64::from(note.process);
        let known = self.table().of(key);
        if let Some(known) = known.as_ref().filter(|known| known.is_good_for(note)) {
            return Arc::clone(&known.process);
        }
        let status = self.are_there.then(|| Status::read(note.process).ok()).flatten();
        // A process that began later than that has the number now, but did not connect.
        let Some(status) = status.filter(|status| status.started_ns <= note.at_ns) else {
            let cgroup = cgroups.of(note.cgroup, note.process);
            return Arc::new(process(note, None, None, cgroup.as_deref()));
        };
        // The name is another one where it has become another program (execve(2)).
        let same = known.filter(|known| {
            known.status == status && known.fits(note) && known.process.cgroup.is_some()
        });
        let known = if let Some(known) = same {
            Known { seen_ns: note.at_ns.max(known.seen_ns), ..known }
        } else {
            let cgroup = cgroups.of(note.cgroup, note.process);
            let executable = self.lookup.executable(note.process);
            let executable = executable.map(|path| printable(path.as_bytes()));
            let process = process(note, Some(&status), executable, cgroup.as_deref());
            let process = Arc::new(process);
            Known { status, seen_ns: note.at_ns, cgroup: note.cgroup, process }
        };
        let process = Arc::clone(&known.process);
        self.table().put(key, known);
        process
    }

    fn table(&self) -> MutexGuard<'_, Recent<Known>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn process(
    note: &ClientProcess,
    status: Option<&Status>,
    executable: Option<Arc<str>>,
    cgroup: Option<&Cgroup>,
) -> Process {
    Process {
        name: status.map(|status| Arc::clone(&status.name)),
        executable,
        cgroup: cgroup.map(|cgroup| Arc::clone(&cgroup.path)),
        unit: cgroup.and_then(|cgroup| cgroup.unit.clone()),
        container: cgroup.and_then(|cgroup| cgroup.container.clone()),
        ..Process::numbered(note.process, note.user)
    }
}

#[cfg(test)]
mod tests;
