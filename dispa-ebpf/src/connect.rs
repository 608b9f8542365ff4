//! `cgroup/connect4` and `cgroup/connect6` (Linux 4.17): a miss costs one hash lookup, a hit is
//! rewritten to the slot of its original destination.

use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};
use dispa_common::{Counter, Destination4, Destination6, Origin, slot_to_v4};

use crate::{
    GO_ON,
    admit::{admit, record},
    context::{is_tcp, read4, read6, write4, write6},
    maps::{self, DESTINATIONS4, DESTINATIONS6},
};

#[cgroup_sock_addr(connect4)]
pub fn dispa_connect4(ctx: SockAddrContext) -> i32 {
    try_connect4(&ctx);
    GO_ON
}

#[cgroup_sock_addr(connect6)]
pub fn dispa_connect6(ctx: SockAddrContext) -> i32 {
    try_connect6(&ctx);
    GO_ON
}

#[inline(always)]
fn try_connect4(ctx: &SockAddrContext) -> Option<()> {
    let (address, port) = tcp(ctx, read4)?;
    let slot = slot4(address, port)?;
    let outcome = decide(ctx, slot, Counter::Redirected4);
    if outcome == Counter::Redirected4 {
        write4(ctx, slot_to_v4(slot).to_be(), maps::door_port4());
    }
    record(ctx, outcome, Origin::v4(address, port), slot);
    Some(())
}

#[inline(always)]
fn try_connect6(ctx: &SockAddrContext) -> Option<()> {
    let (address, port) = tcp(ctx, read6)?;
    if address[0] == 0 && address[1] == 0 && address[2] == Origin::MAPPED {
        return try_connect_mapped(ctx, address[3], port);
    }
    let slot = slot6(address, port)?;
    let outcome = decide(ctx, slot, Counter::Redirected6);
    if outcome == Counter::Redirected6 {
        let [first, second] = maps::slot_prefix6();
        write6(ctx, [first, second, 0, slot.to_be()], maps::door_port6());
    }
    record(ctx, outcome, Origin::v6(address, port), slot);
    Some(())
}

/// An IPv6 socket that asks for an IPv4 destination stays on IPv4, v4-mapped slot included.
#[inline(always)]
fn try_connect_mapped(ctx: &SockAddrContext, address: u32, port: u16) -> Option<()> {
    let slot = slot4(address, port)?;
    let outcome = decide(ctx, slot, Counter::Redirected4);
    if outcome == Counter::Redirected4 {
        let mapped = [0, 0, Origin::MAPPED, slot_to_v4(slot).to_be()];
        write6(ctx, mapped, maps::door_port4());
    }
    record(ctx, outcome, Origin::v4(address, port), slot);
    Some(())
}

/// The outcome of a hit on `slot`: `redirected`, or why not. Slot 0 stands for nothing.
#[inline(always)]
fn decide(ctx: &SockAddrContext, slot: u32, redirected: Counter) -> Counter {
    match admit(ctx) {
        Err(passed) => passed,
        Ok(()) if slot == 0 => Counter::NoSlot,
        Ok(()) => redirected,
    }
}

#[inline(always)]
fn tcp<T>(ctx: &SockAddrContext, read: impl Fn(&SockAddrContext) -> T) -> Option<T> {
    is_tcp(ctx).then(|| read(ctx))
}

#[inline(always)]
fn slot4(address: u32, port: u16) -> Option<u32> {
    let destination = Destination4 { address, port, padding: 0 };
    // SAFETY: the value is copied at once; the daemon may change it, never tear it.
    unsafe { DESTINATIONS4.get(&destination) }.copied()
}

#[inline(always)]
fn slot6(address: [u32; 4], port: u16) -> Option<u32> {
    let destination = Destination6 { address, port, padding: 0 };
    // SAFETY: as above.
    unsafe { DESTINATIONS6.get(&destination) }.copied()
}
