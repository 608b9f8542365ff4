//! Which cgroup an id of the kernel's stands for. On cgroup v2 it is the inode number of the directory,
//! and never given to another one while the host is up (fs/kernfs/dir.c, Linux 5.5 on 64 bits).

use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::fs::{DirEntryExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use super::Cgroup2;

/// `FILEID_KERNFS` (include/linux/exportfs.h).
const KERNFS: i32 = 0xfe;

/// `struct file_handle` with the id of a kernfs node in it.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    id: u64,
}

/// The hierarchy of cgroup v2, to be asked for directories by their ids.
#[derive(Debug)]
pub struct CgroupPaths {
    root: PathBuf,
    mount: File,
}

impl CgroupPaths {
    /// Of this hierarchy.
    pub fn open(hierarchy: &Cgroup2) -> io::Result<Self> {
        let root = hierarchy.root().to_owned();
        Ok(Self { mount: File::open(&root)?, root })
    }

    /// The path, from the hierarchy's root, of the cgroup with this id, which process `pid` was in.
    /// `None`: it is gone, or out of sight.
    ///
    /// The kernel is asked for it by the id, for which it wants `CAP_DAC_READ_SEARCH`; without that,
    /// the process is asked, if it still runs and is still in it.
    #[must_use]
    pub fn of(&self, id: u64, pid: u32) -> Option<String> {
        match self.by_id(id) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.by_process(id, pid).ok()?
            }
            path => path.ok()?,
        }
    }

    fn by_id(&self, id: u64) -> io::Result<Option<String>> {
        let directory = self.directory(id)?;
        let path = fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))?;
        Ok(self.in_hierarchy(&path))
    }

    fn directory(&self, id: u64) -> io::Result<OwnedFd> {
        let bytes = u32::try_from(size_of::<u64>()).expect("8 fits");
        let mut handle = Handle { bytes, kind: KERNFS, id };
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: the mount is open for the length of the call, and the handle is what its head says:
        // eight bytes behind two words. The kernel only reads it.
        #[expect(unsafe_code, reason = "no safe wrapper for open_by_handle_at")]
        let descriptor = unsafe {
            libc::syscall(
                libc::SYS_open_by_handle_at,
                self.mount.as_raw_fd(),
                &raw mut handle,
                flags,
            )
        };
        let descriptor = i32::try_from(descriptor).map_err(io::Error::other)?;
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just opened it for us, and nobody else knows of it.
        #[expect(unsafe_code, reason = "a descriptor from a raw call")]
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
    }

    fn by_process(&self, id: u64, pid: u32) -> io::Result<Option<String>> {
        let lines = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        // cgroups(7): the v2 line is the one with hierarchy id 0 and no controllers.
        let path = lines.lines().find_map(|line| line.strip_prefix("0::/"));
        let Some(directory) = path.map(|path| self.root.join(path)) else { return Ok(None) };
        let is_it = fs::metadata(&directory)?.ino() == id;
        Ok(is_it.then(|| self.in_hierarchy(&directory)).flatten())
    }

    /// Ids and paths of up to `most` cgroups that there are, those nearest to the root first.
    #[must_use]
    pub fn all(&self, most: usize) -> Vec<(u64, String)> {
        let mut found = Vec::new();
        let mut ahead = VecDeque::from([self.root.clone()]);
        while let Some(directory) = ahead.pop_front() {
            // One that is gone has nothing below it.
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                if found.len() == most {
                    return found;
                }
                found.extend(self.in_hierarchy(&entry.path()).map(|path| (entry.ino(), path)));
                ahead.push_back(entry.path());
            }
        }
        found
    }

    fn in_hierarchy(&self, directory: &Path) -> Option<String> {
        let path = directory.strip_prefix(&self.root).ok()?;
        Some(format!("/{}", path.to_string_lossy()))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt as _, process};

    use super::{Cgroup2, CgroupPaths};

    #[test]
    fn a_cgroup_is_found_by_its_id_and_by_a_process_in_it() {
        let hierarchy = Cgroup2::find().expect("mounted");
        let paths = CgroupPaths::open(&hierarchy).expect("readable");
        let own = hierarchy.own().expect("in one");
        let id = fs::metadata(&own).expect("there").ino();
        let name = format!("/{}", own.strip_prefix(hierarchy.root()).expect("below").display());
        assert_eq!(paths.by_id(id).expect("permitted").as_ref(), Some(&name));
        assert_eq!(paths.by_process(id, process::id()).expect("runs").as_ref(), Some(&name));
        assert_eq!(paths.by_process(id + 1, process::id()).expect("runs"), None);
        assert_eq!(paths.of(id, process::id()), Some(name));
    }

    #[test]
    fn one_that_is_gone_has_no_path() {
        let hierarchy = Cgroup2::find().expect("mounted");
        let paths = CgroupPaths::open(&hierarchy).expect("readable");
        let directory = hierarchy.root().join(format!("dispa-gone-{}", process::id()));
        fs::create_dir(&directory).expect("to be made");
        let id = fs::metadata(&directory).expect("there").ino();
        let listed = paths.all(usize::MAX).into_iter().find(|(it, _)| *it == id);
        fs::remove_dir(&directory).expect("empty");
        let name = directory.file_name().expect("it has one").to_string_lossy().into_owned();
        assert_eq!(listed, Some((id, format!("/{name}"))));
        assert_eq!(paths.of(id, process::id()), None);
        assert!(paths.all(1).len() <= 1);
    }
}
