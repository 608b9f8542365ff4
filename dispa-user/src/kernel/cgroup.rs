//! Where cgroup v2 is mounted, and which of its directories this process lives in.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The cgroup v2 hierarchy of this host; on hybrid hosts it is not at `/sys/fs/cgroup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup2 {
    root: PathBuf,
}

/// Why no cgroup can be named.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// Nothing of type cgroup2 in `/proc/self/mountinfo`.
    #[error(
        "no cgroup2 file system is mounted; interception needs one: \
         mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified"
    )]
    NotMounted,
    /// `/proc` cannot be read.
    #[error("cannot read {path}: {source}")]
    Proc {
        /// The file.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
    /// This process is in no cgroup v2 directory that can be seen under the mount.
    #[error("this process is in no cgroup below {}", root.display())]
    Outside {
        /// Where cgroup2 is mounted.
        root: PathBuf,
    },
}

impl Cgroup2 {
    /// Finds the mount in `/proc/self/mountinfo` (proc(5)).
    pub fn find() -> Result<Self, CgroupError> {
        let path = "/proc/self/mountinfo";
        let mounts =
            fs::read_to_string(path).map_err(|source| CgroupError::Proc { path, source })?;
        mounts
            .lines()
            .find_map(cgroup2_mount_point)
            .map(|root| Self { root })
            .ok_or(CgroupError::NotMounted)
    }

    /// The mount point: the root cgroup, host-wide.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of the cgroup this process is in.
    pub fn own(&self) -> Result<PathBuf, CgroupError> {
        let path = "/proc/self/cgroup";
        let lines =
            fs::read_to_string(path).map_err(|source| CgroupError::Proc { path, source })?;
        let outside = || CgroupError::Outside { root: self.root.clone() };
        // cgroups(7): the v2 line is the one with hierarchy id 0 and no controllers.
        let own = lines.lines().find_map(|line| line.strip_prefix("0::/")).ok_or_else(outside)?;
        let directory = self.root.join(own);
        if directory.is_dir() { Ok(directory) } else { Err(outside()) }
    }

    /// Whether `directory` is the root of the host's whole hierarchy. The root of a container's view
    /// of it is not: only the host's has no `cgroup.events` (Linux's admin-guide/cgroup-v2).
    #[must_use]
    pub fn is_host_root(directory: &Path) -> bool {
        directory.join("cgroup.procs").exists() && !directory.join("cgroup.events").exists()
    }
}

/// The mount point of a mountinfo line of type cgroup2.
fn cgroup2_mount_point(line: &str) -> Option<PathBuf> {
    let (mount, file_system) = line.split_once(" - ")?;
    if file_system.split(' ').next()? != "cgroup2" {
        return None;
    }
    let point = mount.split(' ').nth(4)?;
    Some(PathBuf::from(unescape(point)))
}

/// mountinfo writes blank, tab, newline and backslash as three octal digits.
fn unescape(point: &str) -> String {
    point.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::cgroup2_mount_point;
    use std::path::Path;

    #[test]
    fn the_mount_is_found_on_hybrid_and_unified_hosts() {
        let hybrid = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";
        assert_eq!(
            cgroup2_mount_point(hybrid).as_deref(),
            Some(Path::new("/sys/fs/cgroup/unified"))
        );
        let shared = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw";
        assert_eq!(cgroup2_mount_point(shared).as_deref(), Some(Path::new("/sys/fs/cgroup")));
    }

    #[test]
    fn other_lines_are_no_cgroup2_mount() {
        for line in ["", "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw", "x - cgroup2", "-"] {
            assert_eq!(cgroup2_mount_point(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_blank_in_the_mount_point_is_restored() {
        let line = "41 31 0:38 / /mnt/a\\040b rw - cgroup2 cgroup2 rw";
        assert_eq!(cgroup2_mount_point(line).as_deref(), Some(Path::new("/mnt/a b")));
    }
}
