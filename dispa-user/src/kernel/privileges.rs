//! What this process may do to the system, given up for good before anything from the network is read.

use std::{fs, io};

use nix::sys::prctl::set_no_new_privs;

use super::{KernelError, require, seccomp};

/// `_LINUX_CAPABILITY_VERSION_3` (include/uapi/linux/capability.h).
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// `CAP_BPF` is this bit of the second word.
const CAP_BPF_HIGH: u32 = 1 << (39 - 32);

/// Since this kernel maps can be used by their descriptors alone, whatever `unprivileged_bpf_disabled`
/// says (kernel/bpf/syscall.c, Linux 5.19); older ones ask for `CAP_BPF` at every call.
const FREE_MAPS: (u32, u32) = (5, 19);

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// `struct __user_cap_data_struct`, one for each 32 capabilities.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Gives up every capability, ever getting one again, and all system calls but those that the daemon
/// makes from here on. To be called while this is the only thread: others would keep theirs.
pub fn give_up_privileges() -> Result<(), KernelError> {
    let failed = |action| move |source| KernelError::System { action, source };
    let threads = fs::read_dir("/proc/self/task").map_err(failed("count the threads"))?.count();
    if threads != 1 {
        let source = io::Error::other(format!("there are {threads} threads already"));
        return Err(failed("give up capabilities")(source));
    }
    set_no_new_privs().map_err(|error| failed("forbid new privileges")(error.into()))?;
    set_capabilities(kept()?).map_err(failed("give up capabilities"))?;
    seccomp::confine().map_err(failed("filter system calls"))
}

/// Nothing, where the kernel allows that.
fn kept() -> Result<[Sets; 2], KernelError> {
    let mut kept = [Sets::default(); 2];
    let has_it = require::missing_capabilities()?.iter().all(|name| *name != "CAP_BPF");
    if has_it && require::kernel_version()? < FREE_MAPS {
        kept[1] = Sets { effective: CAP_BPF_HIGH, permitted: CAP_BPF_HIGH, inheritable: 0 };
    }
    Ok(kept)
}

fn set_capabilities(sets: [Sets; 2]) -> io::Result<()> {
    let header = Header { version: CAPABILITY_VERSION_3, pid: 0 };
    // SAFETY: header and data are laid out as the kernel's structs of version 3, which has two of the
    // latter; both outlive the call, which only reads them.
    #[expect(unsafe_code, reason = "no safe wrapper for capset")]
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
