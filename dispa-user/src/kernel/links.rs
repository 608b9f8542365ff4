//! Programs attached to a cgroup directory by links that descriptors own (`bpf_link`, Linux 5.7).

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd},
    path::Path,
};

use dispa_common::programs;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, fstatfs};

use super::KernelError;

/// `BPF_LINK_CREATE` of `enum bpf_cmd`.
const BPF_LINK_CREATE: libc::c_long = 28;

/// The first fields of `struct { ... } link_create` of `union bpf_attr`; the kernel takes the rest for 0.
#[repr(C)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
}

/// `enum bpf_attach_type` (include/uapi/linux/bpf.h) of each of our programs that redirect or restore.
pub(super) fn attach_type(program: &str) -> Option<u32> {
    Some(match program {
        programs::CONNECT4 => 10,
        programs::CONNECT6 => 11,
        programs::SENDMSG4 => 14,
        programs::SENDMSG6 => 15,
        programs::RECVMSG4 => 19,
        programs::RECVMSG6 => 20,
        programs::GETPEERNAME4 => 29,
        programs::GETPEERNAME6 => 30,
        _ => return None,
    })
}

/// Attaches each program, of an `enum bpf_attach_type`, to the cgroup directory, in this order. When a link's
/// descriptor is closed, its program is detached; so it is when the next one cannot be attached.
pub fn link_programs<P: AsFd>(
    programs: &[(u32, P)],
    cgroup: &Path,
) -> Result<Vec<OwnedFd>, KernelError> {
    let directory = fs::File::open(cgroup).map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied => KernelError::NotPermitted { action: "open the cgroup" },
        _ => KernelError::Cgroup { path: cgroup.to_owned(), source },
    })?;
    if fstatfs(&directory).is_ok_and(|system| system.filesystem_type() != CGROUP2_SUPER_MAGIC) {
        return Err(KernelError::NotCgroup2 { path: cgroup.to_owned() });
    }
    let link = |(attach_type, program): &(u32, P)| {
        link(program, &directory, *attach_type).map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => {
                KernelError::NotPermitted { action: "attach kernel programs to the cgroup" }
            }
            _ => KernelError::System { action: "attach a kernel program", source },
        })
    };
    programs.iter().map(link).collect()
}

fn link(program: &impl AsFd, directory: &fs::File, attach_type: u32) -> io::Result<OwnedFd> {
    let number = |descriptor: i32| u32::try_from(descriptor).map_err(io::Error::other);
    let link = LinkCreate {
        program: number(program.as_fd().as_raw_fd())?,
        target: number(directory.as_raw_fd())?,
        attach_type,
        flags: 0,
    };
    // SAFETY: `link` is laid out as the head of the kernel's struct of this command, its size is passed, and
    // both descriptors are open for the length of the call.
    #[expect(unsafe_code, reason = "aya links only programs that it has loaded itself")]
    let descriptor = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_LINK_CREATE, &raw const link, size_of::<LinkCreate>())
    };
    let descriptor = i32::try_from(descriptor).map_err(io::Error::other)?;
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just opened it for us, close-on-exec, and nobody else knows of it.
    #[expect(unsafe_code, reason = "a descriptor from a raw call")]
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// The id of the cgroup that the link of this process attaches its program to; `None`: to none any more, for
/// somebody detached it, or the cgroup is gone. Read from `/proc`, which takes no capability.
pub(super) fn linked_to(link: &OwnedFd) -> io::Result<Option<u64>> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", link.as_raw_fd()))?;
    let cgroup = info.lines().find_map(|line| line.strip_prefix("cgroup_id:"));
    let cgroup = cgroup.and_then(|it| it.trim().parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Some(cgroup).filter(|cgroup| *cgroup != 0))
}
