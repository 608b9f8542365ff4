//! What the daemon takes of the host, under the names that every program's exporter uses.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use nix::{
    sys::{
        resource::{Resource, UsageWho, getrlimit, getrusage},
        time::TimeValLike as _,
    },
    unistd::{SysconfVar, sysconf},
};

use crate::metrics::Families;

/// Adds what can be had.
pub(super) fn collect(families: &mut Families, started: SystemTime) {
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        let micros = u64::try_from(micros).unwrap_or(0);
        families
            .counter("process_cpu_seconds_total", "Processor time, of user and system together.")
            .add(&[], std::time::Duration::from_micros(micros).as_secs_f64());
    }
    if let Some([virtual_bytes, resident]) = memory() {
        families
            .gauge("process_resident_memory_bytes", "Memory that is resident.")
            .count(&[], resident);
        families
            .gauge("process_virtual_memory_bytes", "Address space that is taken.")
            .count(&[], virtual_bytes);
    }
    if let Some(open) = descriptors() {
        families.gauge("process_open_fds", "File descriptors that are open.").count(&[], open);
    }
    if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        families.gauge("process_max_fds", "The most there may be.").count(&[], soft);
    }
    let started = started.duration_since(UNIX_EPOCH).unwrap_or_default();
    families
        .gauge("process_start_time_seconds", "When the daemon began, in seconds since 1970.")
        .add(&[], started.as_secs_f64());
}

/// Bytes of address space, and of those resident (proc(5), `/proc/PID/statm`).
fn memory() -> Option<[u64; 2]> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let page = u64::try_from(sysconf(SysconfVar::PAGE_SIZE).ok()??).ok()?;
    let mut pages = text.split_ascii_whitespace().map(str::parse::<u64>);
    let mut next = || pages.next()?.ok()?.checked_mul(page);
    Some([next()?, next()?])
}

/// From Linux 6.2 on the directory's size is their number (proc(5), `/proc/PID/fd`); before, they are
/// counted.
fn descriptors() -> Option<u64> {
    let directory = "/proc/self/fd";
    match fs::metadata(directory).ok()?.len() {
        0 => u64::try_from(fs::read_dir(directory).ok()?.count()).ok(),
        size => Some(size),
    }
}
