//! What the kernel tells of connections and sockets (proc(5)).

use std::fs;

use anyhow::Result;

/// The state of an open connection (Linux, `include/net/tcp_states.h`).
const ESTABLISHED: &str = "01";

/// How many connections are open whose near end is at this port, in the calling thread's namespace.
pub fn open_at(port: u16) -> Result<usize> {
    let suffix = format!(":{port:04X}");
    let mut found = 0;
    for table in ["tcp", "tcp6"] {
        let table = fs::read_to_string(format!("/proc/thread-self/net/{table}"))?;
        found += table.lines().filter(|line| is_open(line, &suffix)).count();
    }
    Ok(found)
}

/// How many sockets a process has open.
pub fn sockets_of(process: u32) -> Result<usize> {
    let descriptors = fs::read_dir(format!("/proc/{process}/fd"))?;
    // One that is gone by the time it is looked at is no longer open.
    let targets = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    Ok(targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count())
}

/// A line is: number, near end, far end, state, and more.
fn is_open(line: &str, suffix: &str) -> bool {
    let words: Vec<_> = line.split_whitespace().take(4).collect();
    let [_, local, _, state] = words[..] else { return false };
    state == ESTABLISHED && local.ends_with(suffix)
}
