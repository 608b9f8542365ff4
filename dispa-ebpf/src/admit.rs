//! Whether a connection to an intercepted destination is really redirected. Only hits come here.

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_get_current_cgroup_id, bpf_get_netns_cookie, bpf_ktime_get_ns, bpf_setsockopt},
    programs::SockAddrContext,
};
use dispa_common::{
    Counter, Event, HEARTBEAT_LIMIT_NS, Origin, OwnSocket, PROBE_SOURCE4, PROXY_PRIORITY,
};

use crate::{context, crowd::has_room, maps, selection::is_selected};

const SOL_SOCKET: i32 = 1;
const SO_PRIORITY: i32 = 12;

/// Whose connection is redirected.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// A program's.
    Program,
    /// The daemon's own, to see whether it arrives.
    Probe,
}

/// Runs the checks in order; the error is the outcome that passes the connection on.
#[inline(always)]
pub fn admit(ctx: &SockAddrContext) -> Result<Whose, Counter> {
    // Before all else: to another daemon's program, next in the chain, even a paused one tells whose it is.
    let own = own_flags(ctx);
    if own & OwnSocket::BYPASS != 0 {
        show_to_others(ctx);
        return Err(Counter::OwnSocket);
    }
    let is_probe = own & OwnSocket::PROBE != 0;
    if !is_probe && is_anothers(ctx) {
        return Err(Counter::OwnSocket);
    }
    match (is_probe, check(ctx, is_probe)) {
        (true, Ok(())) => Ok(Whose::Probe),
        // It is no program's, whatever becomes of it.
        (true, Err(_)) => Err(Counter::Probe),
        (false, checked) => checked.map(|()| Whose::Program),
    }
}

#[inline(always)]
fn check(ctx: &SockAddrContext, is_probe: bool) -> Result<(), Counter> {
    let (heartbeat_ns, paused, load) = maps::control().ok_or(Counter::StaleHeartbeat)?;
    if paused {
        return Err(Counter::Paused);
    }
    // SAFETY: a helper that takes the context of this very program.
    if unsafe { bpf_get_netns_cookie(ctx.as_ptr()) } != maps::netns_cookie() {
        return Err(Counter::OtherNetns);
    }
    if context::bound_device(ctx) != 0 {
        return Err(Counter::BoundDevice);
    }
    if !is_probe && !is_selected(ctx) {
        return Err(Counter::Excluded);
    }
    // SAFETY: a helper without arguments.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    if now_ns.wrapping_sub(heartbeat_ns) > HEARTBEAT_LIMIT_NS {
        return Err(Counter::StaleHeartbeat);
    }
    if is_probe { Ok(()) } else { has_room(ctx, load) }
}

/// Whether it is another instance's: on its way to a backend, or a probe.
#[inline(always)]
fn is_anothers(ctx: &SockAddrContext) -> bool {
    context::priority(ctx) == PROXY_PRIORITY
        || context::bound_address4(ctx) == PROBE_SOURCE4.to_be()
}

/// What the daemon wrote on the socket; 0 where it is another's.
#[inline(always)]
fn own_flags(ctx: &SockAddrContext) -> u32 {
    // SAFETY: `get_ptr_mut` passes the context's socket to the helper and checks nothing else.
    let own = unsafe { maps::OWN_SOCKETS.get_ptr_mut(ctx) };
    if own.is_null() {
        return 0;
    }
    // SAFETY: storage of a socket we hold in the context lives at least as long as this program.
    unsafe { (*own).flags }
}

/// Gives the daemon's socket [`PROXY_PRIORITY`], which tells another instance's program, next in the
/// chain, what storage of ours cannot.
#[inline(always)]
fn show_to_others(ctx: &SockAddrContext) {
    let mut priority = PROXY_PRIORITY;
    // A refusal leaves the socket own to us and unknown to others; there is nothing to do about it.
    // SAFETY: the value is four bytes on this stack.
    unsafe {
        bpf_setsockopt(ctx.as_ptr(), SOL_SOCKET, SO_PRIORITY, (&raw mut priority).cast(), 4);
    }
}

/// Counts the outcome of a hit and, while debug events are on, tells user space of it.
#[inline(always)]
pub fn record(ctx: &SockAddrContext, outcome: Counter, origin: Origin, slot: u32) {
    maps::count(outcome);
    if maps::events_on() && outcome != Counter::Probe {
        emit(ctx, outcome, origin, slot);
    }
}

#[inline(always)]
fn emit(ctx: &SockAddrContext, outcome: Counter, origin: Origin, slot: u32) {
    let Some(mut entry) = maps::EVENTS.reserve::<Event>(0) else {
        maps::count(Counter::EventLost);
        return;
    };
    entry.write(Event {
        // SAFETY: helpers without arguments.
        at_ns: unsafe { bpf_ktime_get_ns() },
        // SAFETY: as above.
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        process: ctx.tgid(),
        user: ctx.uid(),
        origin,
        slot,
        outcome: outcome as u32,
        padding: 0,
    });
    entry.submit(0);
}
