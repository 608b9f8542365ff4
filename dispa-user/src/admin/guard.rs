//! Who may ask.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use tokio::net::UnixStream;

/// Permission bits of a file (inode(7)): connecting to a socket takes writing (unix(7)).
const OWNER_WRITES: u32 = 0o200;
const GROUP_WRITES: u32 = 0o020;

/// Admits root, the daemon's own user, and whom the socket's file names as its user or group. The
/// kernel holds the file against those who connect already; this holds even where its mode was
/// loosened.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    users: Vec<u32>,
    file: PathBuf,
}

/// Whom a file names, and what they may.
#[derive(Clone, Copy, Debug)]
struct Access {
    user: u32,
    group: u32,
    mode: u32,
}

impl Guard {
    /// For the socket `file`.
    pub(super) fn new(file: &Path) -> Self {
        let own = nix::unistd::geteuid().as_raw();
        Self { users: vec![0, own], file: file.to_owned() }
    }

    /// One that knows nobody, for tests that run as root.
    #[cfg(test)]
    pub(super) fn refusing() -> Self {
        Self { users: Vec::new(), file: PathBuf::new() }
    }

    /// Whether whoever is at the other end may ask.
    pub(super) fn admits(&self, stream: &UnixStream) -> bool {
        let Ok(peer) = stream.peer_cred() else { return false };
        let groups = || {
            let mut groups = peer.pid().map(supplementary_groups).unwrap_or_default();
            groups.push(peer.gid());
            groups
        };
        let admitted = self.users.contains(&peer.uid())
            || Access::of(&self.file).is_some_and(|access| access.admits(peer.uid(), groups));
        if !admitted {
            tracing::warn!(user = peer.uid(), process = peer.pid(), "refused at the admin socket");
        }
        admitted
    }
}

impl Access {
    fn of(file: &Path) -> Option<Self> {
        let metadata = fs::symlink_metadata(file).ok()?;
        Some(Self { user: metadata.uid(), group: metadata.gid(), mode: metadata.mode() })
    }

    fn admits(self, user: u32, groups: impl FnOnce() -> Vec<u32>) -> bool {
        (user == self.user && self.mode & OWNER_WRITES != 0)
            || (self.mode & GROUP_WRITES != 0 && groups().contains(&self.group))
    }
}

/// The groups of a process besides its first one, which the peer's credentials leave out. None
/// where the process is gone, or of another PID namespace.
fn supplementary_groups(process: i32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    groups_in(&status)
}

/// The groups that a `/proc/PID/status` names (`proc_pid_status(5)`).
fn groups_in(status: &str) -> Vec<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Groups:"));
    line.unwrap_or_default().split_ascii_whitespace().filter_map(|it| it.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Access, groups_in};

    const FILE: Access = Access { user: 7, group: 70, mode: 0o140_660 };

    #[test]
    fn the_files_user_and_group_are_admitted() {
        assert!(FILE.admits(7, Vec::new));
        assert!(FILE.admits(8, || vec![80, 70]));
        assert!(!FILE.admits(8, || vec![80]));
    }

    #[test]
    fn only_as_far_as_its_mode_allows() {
        let closed = Access { mode: 0o140_444, ..FILE };
        assert!(!closed.admits(7, || vec![70]));
    }

    #[test]
    fn a_mode_for_everyone_admits_nobody_more() {
        let open = Access { mode: 0o140_666, ..FILE };
        assert!(!open.admits(8, || vec![80]));
    }

    #[test]
    fn groups_are_read_off_proc() {
        assert_eq!(groups_in("Name:\tx\nGid:\t1\t1\t1\t1\nGroups:\t4 27 \nNStgid:\t1\n"), [4, 27]);
        assert!(groups_in("Groups:\t\n").is_empty());
        assert!(groups_in("").is_empty());
    }
}
