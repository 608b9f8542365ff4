//! `cgroup/getpeername4` and `cgroup/getpeername6` (Linux 5.8): where the peer is a slot of ours,
//! the program is shown the destination it asked for.

use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};
use dispa_common::{Origin, slot_of_v4};

use crate::{
    GO_ON,
    context::{read4, read6, write4, write6},
    maps::{self, SLOTS},
};

#[cgroup_sock_addr(getpeername4)]
pub fn dispa_peer4(ctx: SockAddrContext) -> i32 {
    restore4(&ctx);
    GO_ON
}

#[cgroup_sock_addr(getpeername6)]
pub fn dispa_peer6(ctx: SockAddrContext) -> i32 {
    restore6(&ctx);
    GO_ON
}

/// Shows the original destination in place of its slot, if the address is one.
#[inline(always)]
pub fn restore4(ctx: &SockAddrContext) -> Option<()> {
    let (address, port) = read4(ctx);
    let origin = origin_of_v4(address, port)?;
    write4(ctx, origin.address[3], origin.port);
    Some(())
}

/// As [`restore4`].
#[inline(always)]
pub fn restore6(ctx: &SockAddrContext) -> Option<()> {
    let (address, port) = read6(ctx);
    let origin = if address[0] == 0 && address[1] == 0 && address[2] == Origin::MAPPED {
        origin_of_v4(address[3], port)?
    } else {
        origin_of_v6(address, port)?
    };
    write6(ctx, origin.address, origin.port);
    Some(())
}

#[inline(always)]
fn origin_of_v4(address: u32, port: u16) -> Option<Origin> {
    if port != maps::door_port4() {
        return None;
    }
    origin(slot_of_v4(u32::from_be(address))?)
}

#[inline(always)]
fn origin_of_v6(address: [u32; 4], port: u16) -> Option<Origin> {
    let [first, second] = maps::slot_prefix6();
    let is_slot = address[0] == first && address[1] == second && address[2] == 0;
    if port == 0 || port != maps::door_port6() || !is_slot {
        return None;
    }
    origin(u32::from_be(address[3]))
}

#[inline(always)]
fn origin(slot: u32) -> Option<Origin> {
    let origin = *SLOTS.get(slot)?;
    (origin.used != 0).then_some(origin)
}
