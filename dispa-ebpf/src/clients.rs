//! Remembers which program a redirected connection belongs to, by the cookie of its socket.

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_get_current_cgroup_id, bpf_get_socket_cookie, bpf_ktime_get_boot_ns},
    programs::SockAddrContext,
};
use dispa_common::ClientProcess;

use crate::maps::{self, CLIENTS};

/// The connection in the context is being redirected. One that finds no room in the table is
/// nobody's.
#[inline(always)]
pub fn remember(ctx: &SockAddrContext) {
    if !maps::clients_on() {
        return;
    }
    let client = ClientProcess {
        // SAFETY: helpers without arguments.
        at_ns: unsafe { bpf_ktime_get_boot_ns() },
        // SAFETY: as above.
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        process: ctx.tgid(),
        user: ctx.uid(),
    };
    // SAFETY: a helper that takes the context of this very program.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    let _ = CLIENTS.insert(&cookie, &client, 0);
}
