//! How much memory this process may have, and has.

use std::{
    fs, io,
    sync::atomic::{AtomicBool, Ordering},
};

/// Whether there is less than there should be; for all of the process, as its memory is.
static IS_SHORT: AtomicBool = AtomicBool::new(false);

/// Whether nothing is to be kept that can be done without.
#[must_use]
pub fn memory_is_short() -> bool {
    IS_SHORT.load(Ordering::Relaxed)
}

/// From now on it is, or is not.
pub fn note_memory(is_short: bool) {
    IS_SHORT.store(is_short, Ordering::Relaxed);
}

/// Bytes that this process has in memory now, and has there for itself: files that it maps are left out.
pub fn own_memory() -> io::Result<u64> {
    of_kib(&fs::read_to_string("/proc/self/status")?, "RssAnon:")
}

/// Bytes that there are for it: those of the machine, or of its cgroup if they are fewer.
pub fn memory_limit() -> io::Result<u64> {
    let machine = of_kib(&fs::read_to_string("/proc/meminfo")?, "MemTotal:")?;
    let cgroup = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    Ok(limit_files(&cgroup).iter().filter_map(|file| read_limit(file)).fold(machine, u64::min))
}

/// The files that may limit a process with this `/proc/PID/cgroup`, in its own cgroups and those above
/// (cgroups(7)): of v2, and of v1's controller, where they are usually mounted.
fn limit_files(cgroup: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in cgroup.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (mount, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let mut above = path.trim_end_matches('/');
        loop {
            files.push(format!("{mount}{above}/{name}"));
            let Some((parent, _)) = above.rsplit_once('/') else { break };
            above = parent;
        }
    }
    files
}

/// None where there is no such file, or it says `max`.
fn read_limit(file: &str) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn of_kib(text: &str, name: &str) -> io::Result<u64> {
    let figure = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
    let kib: Option<u64> = figure.and_then(|figure| figure.parse().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other(format!("no {name}")))
}

#[cfg(test)]
mod tests {
    use super::{limit_files, memory_limit, of_kib, own_memory};

    #[test]
    fn own_memory_is_within_what_there_is() {
        let (own, limit) = (own_memory().expect("read"), memory_limit().expect("read"));
        assert!(0 < own && own < limit, "{own} of {limit}");
    }

    #[test]
    fn figures_are_of_the_line_with_that_name() {
        assert_eq!(of_kib("A:\t 1 kB\nAB:  2 kB\n", "AB:").ok(), Some(2048));
        assert!(of_kib("A: 1 kB\n", "B:").is_err());
    }

    #[test]
    fn limits_are_looked_for_up_to_the_root() {
        assert_eq!(
            limit_files("4:memory:/a/b\n3:cpuset:/\n0::/system.slice\n"),
            [
                "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
    }
}
