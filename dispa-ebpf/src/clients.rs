//! Remembers which program a connection to one of the daemon's doors belongs to, by the cookie of its
//! socket.

use aya_ebpf::{
    EbpfContext as _,
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_netns_cookie, bpf_get_socket_cookie,
        bpf_ktime_get_boot_ns,
    },
    programs::SockAddrContext,
};
use dispa_common::{ClientProcess, Origin};

use crate::{
    context::{self, read4, read6},
    maps::{self, CLIENTS},
};

/// As [`remember`], of an IPv4 connection that is not redirected, if it leads to the explicit door.
#[inline(always)]
pub fn remember_explicit4(ctx: &SockAddrContext) {
    if may_be_explicit(ctx) {
        let (address, _) = read4(ctx);
        remember_explicit(ctx, [0, 0, Origin::MAPPED, address]);
    }
}

/// As [`remember_explicit4`], of an IPv6 one.
#[inline(always)]
pub fn remember_explicit6(ctx: &SockAddrContext) {
    if may_be_explicit(ctx) {
        let (address, _) = read6(ctx);
        remember_explicit(ctx, address);
    }
}

/// All that most connections are asked.
#[inline(always)]
fn may_be_explicit(ctx: &SockAddrContext) -> bool {
    let port = maps::explicit_port();
    port != 0 && context::port(ctx) == port
}

/// Where the door is on every address, it may be another host's port of the same number: such a note is
/// never asked for, and forgotten.
#[inline(always)]
fn remember_explicit(ctx: &SockAddrContext, address: [u32; 4]) {
    let door = maps::explicit_address();
    let leads_there =
        is_v4(address) == is_v4(door) && (is_any(address) || is_any(door) || address == door);
    // SAFETY: a helper that takes the context of this very program.
    if leads_there && unsafe { bpf_get_netns_cookie(ctx.as_ptr()) } == maps::netns_cookie() {
        remember(ctx);
    }
}

#[inline(always)]
fn is_v4(address: [u32; 4]) -> bool {
    address[0] == 0 && address[1] == 0 && address[2] == Origin::MAPPED
}

/// As a destination that is this host's loopback address, as a door's address all of its family.
#[inline(always)]
fn is_any(address: [u32; 4]) -> bool {
    address[3] == 0 && (is_v4(address) || address == [0; 4])
}

/// The connection in the context leads to a door of the daemon. One that finds no room in the table is
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
