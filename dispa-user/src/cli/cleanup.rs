//! `dispa cleanup`: takes away what killed instances have left, and says what there is besides.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{CliError, runtime, write_answer};
use crate::{
    admin::clear_socket,
    app::stale_cgroups,
    kernel::{LoadedProgram, programs_of_ours},
    net::SlotRoute,
};

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Cleaned {
    /// What was taken away.
    removed: Vec<String>,
    /// Programs that processes which run hold.
    in_use: Vec<LoadedProgram>,
    /// What is left that nobody holds, or could not be looked at.
    problems: Vec<String>,
}

/// Takes away what is nobody's; 1 where something stays.
pub(super) fn run(socket: &Path, json: bool) -> Result<u8, CliError> {
    let mut cleaned = Cleaned::default();
    match runtime()?.block_on(SlotRoute::remove_stale()) {
        Ok(prefixes) => {
            cleaned.removed.extend(prefixes.iter().map(|prefix| format!("route {prefix}/64")));
        }
        Err(error) => cleaned.problems.push(error.to_string()),
    }
    cleaned.cgroups(stale_cgroups());
    if clear_socket(socket) {
        cleaned.removed.push(format!("socket {}", socket.display()));
    }
    match programs_of_ours() {
        Ok(programs) => cleaned.programs(programs),
        // Who may do all else, as the service itself, need not be allowed that.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        Err(error) => cleaned.problems.push(format!("kernel programs cannot be listed: {error}")),
    }
    write_answer(&cleaned, json)?;
    Ok(u8::from(!cleaned.problems.is_empty()))
}

impl Cleaned {
    fn cgroups(&mut self, stale: Vec<PathBuf>) {
        for cgroup in stale {
            match std::fs::remove_dir(&cgroup) {
                Ok(()) => self.removed.push(format!("cgroup {}", cgroup.display())),
                Err(error) => self.problems.push(format!("cgroup {}: {error}", cgroup.display())),
            }
        }
    }

    fn programs(&mut self, programs: Vec<LoadedProgram>) {
        for program in programs {
            if program.holders.is_empty() {
                let LoadedProgram { id, name, .. } = program;
                self.problems.push(format!(
                    "kernel program {id} ({name}) is held by no process: it is pinned, or attached \
                     without a link (`bpftool cgroup tree` shows where)"
                ));
            } else {
                self.in_use.push(program);
            }
        }
    }
}

impl fmt::Display for Cleaned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for removed in &self.removed {
            writeln!(f, "removed {removed}")?;
        }
        for LoadedProgram { id, name, holders } in &self.in_use {
            writeln!(f, "in use: kernel program {id} ({name}) by process {holders:?}")?;
        }
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        if self.removed.is_empty() && self.in_use.is_empty() && self.problems.is_empty() {
            writeln!(f, "nothing is left")?;
        }
        Ok(())
    }
}
