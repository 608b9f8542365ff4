//! Whose connections are intercepted, where that is not everybody's.
//!
//! What goes by users alone the kernel side decides by itself. Cgroups have names that it does not
//! know: it is told of each one by its id, of those that are there at the start before the first
//! connection, of others when one arrives, which is then relayed. Executables are always decided here.

use std::time::{Duration, Instant};

use dispa_common::selection::{
    BY_CGROUP, BY_USER, CGROUP_COUNT, USERS_ONLY,
    verdict::{EXCLUDED, INCLUDED, NOT_INCLUDED},
};

use super::cgroups::{self, units};
use crate::{
    config::{Intercept, Programs},
    exchange::Process,
    keeper::Lookup,
    kernel::{self, SelectedCgroups},
    life::Rarely,
};

/// Always there, and root's.
const FIRST_PROCESS: u32 = 1;

/// How often the same trouble is worth a line.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// Decides what the kernel side cannot.
#[derive(Debug)]
pub(super) struct Judge {
    include: Programs,
    exclude: Programs,
    selected: SelectedCgroups,
    warn: Rarely,
}

impl Judge {
    pub(super) fn new(intercept: &Intercept, selected: SelectedCgroups, lookup: &Lookup) -> Self {
        let (include, exclude) = (intercept.include.clone(), intercept.exclude.clone());
        let by_executable = !include.executables.is_empty() || !exclude.executables.is_empty();
        if by_executable && lookup.executable(FIRST_PROCESS).is_none() {
            tracing::warn!("executables are not known: connections may be relayed for that");
        }
        Self { include, exclude, selected, warn: Rarely::new(WARN_EVERY) }
    }

    /// Whether this process's connections are not to be intercepted, or it cannot be told whether they
    /// are.
    pub(super) fn leaves_alone(&self, process: &Process) -> bool {
        leaves_alone(&self.include, &self.exclude, process)
    }

    /// Tells the kernel side what the path of this cgroup means for connections made in it.
    pub(super) fn judge(&self, cgroup: u64, path: &str) {
        let flags = flags_of(&self.include, &self.exclude, path);
        if flags == 0 {
            return;
        }
        if let Err(error) = self.selected.judge(cgroup, flags)
            && self.warn.now(Instant::now())
        {
            tracing::warn!(path, %error, "its connections are relayed instead of going direct");
        }
    }

    /// Tells it of the cgroups that are there.
    pub(super) fn judge_those_there(&self) {
        if self.include.goes_by_cgroup() || self.exclude.goes_by_cgroup() {
            for (cgroup, path) in cgroups::all(CGROUP_COUNT as usize) {
                self.judge(cgroup, &path);
            }
        }
    }
}

/// What the kernel side is to look at by itself.
#[must_use]
pub fn kernel_selection(intercept: &Intercept) -> kernel::Selection {
    let Intercept { include, exclude, .. } = intercept;
    let by_user = !include.uids.is_empty() || !exclude.uids.is_empty();
    let by_cgroup = include.goes_by_cgroup() || exclude.goes_by_cgroup();
    let users_only = !include.uids.is_empty() && !include.goes_by_process();
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    let user = |&uid: &u32| {
        let is_excluded = exclude.uids.contains(&uid);
        (uid, if is_excluded { EXCLUDED } else { INCLUDED })
    };
    kernel::Selection {
        flags: flag(by_user, BY_USER) | flag(by_cgroup, BY_CGROUP) | flag(users_only, USERS_ONLY),
        users: include.uids.iter().chain(&exclude.uids).map(user).collect(),
    }
}

fn leaves_alone(include: &Programs, exclude: &Programs, process: &Process) -> bool {
    if has(exclude, process) != Some(false) {
        return true;
    }
    !include.is_empty() && has(include, process) != Some(true)
}

/// Whether the process is one of these programs; `None`: that cannot be told.
fn has(programs: &Programs, process: &Process) -> Option<bool> {
    let by_user = process.uid.map(|uid| programs.uids.contains(&uid));
    let by_cgroup = if programs.goes_by_cgroup() {
        process.cgroup.as_deref().map(|path| is_in(programs, path))
    } else {
        Some(false)
    };
    let by_executable = if programs.executables.is_empty() {
        Some(false)
    } else {
        process.executable.as_deref().map(|it| programs.executables.iter().any(|path| path == it))
    };
    let answers = [by_user, by_cgroup, by_executable];
    if answers.contains(&Some(true)) {
        return Some(true);
    }
    (!answers.contains(&None)).then_some(false)
}

/// Whether the cgroup at this path is one of these, or below one.
fn is_in(programs: &Programs, path: &str) -> bool {
    let below = |cgroup: &String| {
        path.strip_prefix(cgroup.as_str()).is_some_and(|it| it.is_empty() || it.starts_with('/'))
    };
    programs.cgroups.iter().any(below)
        || units(path).any(|unit| programs.units.iter().any(|it| it == unit))
}

/// What the kernel side is to know of the cgroup at this path; 0: nothing.
fn flags_of(include: &Programs, exclude: &Programs, path: &str) -> u8 {
    if is_in(exclude, path) {
        return EXCLUDED;
    }
    // Where an executable may be reason enough, no cgroup is reason against.
    let decides = include.goes_by_cgroup() && include.executables.is_empty();
    if decides && !is_in(include, path) { NOT_INCLUDED } else { 0 }
}

#[cfg(test)]
mod tests;
