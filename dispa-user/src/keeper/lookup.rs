//! What only who may trace a process, or open files whatever their modes, may know of it.

use std::{fs, os::unix::ffi::OsStrExt as _, sync::Arc};

use super::Keeper;
use crate::kernel::{Cgroup2, CgroupPaths};

/// What Linux puts behind the path of a file that was deleted or replaced.
pub(super) const DELETED: &[u8] = b" (deleted)";

/// Who looks.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// This process, by the capabilities that it has.
    Own(Arc<Option<CgroupPaths>>),
    /// The keeper.
    Kept(Arc<Keeper>),
}

impl Lookup {
    /// By this process.
    #[must_use]
    pub fn own() -> Self {
        let paths = Cgroup2::find()
            .map_err(|error| error.to_string())
            .and_then(|it| CgroupPaths::open(&it).map_err(|error| error.to_string()))
            .inspect_err(|error| tracing::warn!(error, "cgroups have no names"));
        Self::Own(Arc::new(paths.ok()))
    }

    /// The file that the process with this id runs (proc(5), `/proc/PID/exe`); `None` where it is gone, or
    /// not to be seen.
    #[must_use]
    pub fn executable(&self, pid: u32) -> Option<String> {
        match self {
            Self::Own(_) => executable(pid),
            Self::Kept(keeper) => keeper.executable(pid),
        }
    }

    /// The path, from the hierarchy's root, of the cgroup with this id, in which `pid` was; `None` where it
    /// is gone, or not to be seen.
    #[must_use]
    pub fn cgroup(&self, id: u64, pid: u32) -> Option<String> {
        match self {
            Self::Own(paths) => paths.as_ref().as_ref()?.of(id, pid),
            Self::Kept(keeper) => keeper.cgroup(id, pid),
        }
    }
}

fn executable(pid: u32) -> Option<String> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let path = path.as_os_str().as_bytes();
    let path = path.strip_suffix(DELETED).unwrap_or(path);
    Some(String::from_utf8_lossy(path).into_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn our_own_file_is_told_and_that_of_a_process_that_is_gone_is_not() {
        let own = std::env::current_exe().expect("a file").to_string_lossy().into_owned();
        assert_eq!(super::executable(std::process::id()), Some(own));
        // Beyond the most that there may be (2^22, include/linux/threads.h).
        assert_eq!(super::executable(u32::MAX), None);
    }
}
