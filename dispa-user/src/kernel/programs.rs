//! Programs attached to a cgroup, ours and others'.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    os::fd::AsRawFd,
    path::Path,
};

use serde::Serialize;

/// `enum bpf_attach_type` (include/uapi/linux/bpf.h) of the hooks we use, with their names.
const HOOKS: [(u32, &str); 9] = [
    (3, "sock_ops"),
    (10, "connect4"),
    (11, "connect6"),
    (14, "sendmsg4"),
    (15, "sendmsg6"),
    (19, "recvmsg4"),
    (20, "recvmsg6"),
    (29, "getpeername4"),
    (30, "getpeername6"),
];

/// `BPF_PROG_QUERY` of `enum bpf_cmd`.
const BPF_PROG_QUERY: libc::c_long = 16;

/// Ancestors' programs as well.
const BPF_F_QUERY_EFFECTIVE: u32 = 1;

/// Most programs one hook of one cgroup is asked for; the kernel's own limit is 64.
const MOST_PROGRAMS: usize = 64;

/// A program that runs at one of our hooks in a cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedProgram {
    /// `connect4` and so on.
    pub hook: &'static str,
    /// The kernel's number for the program.
    pub id: u32,
    /// Its name, where this process may see it.
    pub name: Option<String>,
}

/// What the names of our programs begin with.
const OURS: &str = "dispa_";

/// A program of ours that is loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoadedProgram {
    /// The kernel's number for it.
    pub id: u32,
    /// Its name, as far as the kernel keeps it (15 bytes).
    pub name: String,
    /// The processes that hold it, by a descriptor of its own or of a link.
    pub holders: Vec<u32>,
}

/// Programs of ours that are loaded, and who holds them. Needs `CAP_SYS_ADMIN`, and to see all processes.
pub fn programs_of_ours() -> io::Result<Vec<LoadedProgram>> {
    let mut ours = Vec::new();
    for program in aya::programs::loaded_programs() {
        let program = program.map_err(refusal)?;
        let name = program.name_as_str().filter(|name| name.starts_with(OURS));
        ours.extend(name.map(|name| LoadedProgram {
            id: program.id(),
            name: name.to_owned(),
            holders: Vec::new(),
        }));
    }
    if ours.is_empty() {
        return Ok(ours);
    }
    for pid in
        fs::read_dir("/proc")?.flatten().filter_map(|it| it.file_name().to_str()?.parse().ok())
    {
        let held = held_by(pid);
        ours.iter_mut().filter(|it| held.contains(&it.id)).for_each(|it| it.holders.push(pid));
    }
    Ok(ours)
}

/// The system's own word for it, where that is in it.
fn refusal(error: aya::programs::ProgramError) -> io::Error {
    match error {
        aya::programs::ProgramError::SyscallError(error) => error.io_error,
        error => io::Error::other(error),
    }
}

/// Numbers of the programs that a process has descriptors for (proc(5), `/proc/PID/fdinfo`). None where it
/// is gone.
fn held_by(pid: u32) -> HashSet<u32> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    descriptors
        .filter_map(|it| fs::read_to_string(it.path()).ok())
        .filter_map(|told| {
            told.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok())
        })
        .collect()
}

/// `struct { ... } query` of `union bpf_attr`, up to the last field of Linux 5.15.
#[repr(C)]
#[derive(Default)]
struct ProgQuery {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

/// Every program that takes part in our hooks for processes in `cgroup`, in running order,
/// programs attached to its ancestors included.
pub fn attached_programs(cgroup: &Path) -> io::Result<Vec<AttachedProgram>> {
    let directory = fs::File::open(cgroup)?;
    let names = program_names();
    let mut attached = Vec::new();
    for (attach_type, hook) in HOOKS {
        for id in query(&directory, attach_type)? {
            attached.push(AttachedProgram { hook, id, name: names.get(&id).cloned() });
        }
    }
    Ok(attached)
}

/// Names by id of all loaded programs; empty where this process may not list them.
fn program_names() -> HashMap<u32, String> {
    aya::programs::loaded_programs()
        .filter_map(Result::ok)
        .filter_map(|info| Some((info.id(), info.name_as_str()?.to_owned())))
        .collect()
}

fn query(directory: &fs::File, attach_type: u32) -> io::Result<Vec<u32>> {
    let mut ids = [0_u32; MOST_PROGRAMS];
    let mut query = ProgQuery {
        target_fd: u32::try_from(directory.as_raw_fd()).map_err(io::Error::other)?,
        attach_type,
        query_flags: BPF_F_QUERY_EFFECTIVE,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: u32::try_from(ids.len()).map_err(io::Error::other)?,
        ..ProgQuery::default()
    };
    #[expect(unsafe_code, reason = "aya offers no query of cgroup programs")]
    // SAFETY: `query` is laid out as the kernel's struct of this command and its size is passed;
    // `ids` outlives the call and is as long as `prog_cnt` says.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, &raw mut query, size_of::<ProgQuery>())
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let count = usize::try_from(query.prog_cnt).unwrap_or(0).min(ids.len());
    Ok(ids[..count].to_vec())
}
