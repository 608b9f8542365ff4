//! Rewriting a destination to its slot, whatever the hook it was met in.

use aya_ebpf::programs::SockAddrContext;
use dispa_common::{Counter, Destination4, Destination6, Origin, slot_to_v4};

use crate::{
    admit::{Whose, admit, record},
    context::{read4, read6, write4, write6},
    maps,
    slot::{NO_SLOT, assign4, assign6, lookup4, lookup6, wanted4, wanted6},
};

/// What a hook counts as when it redirects.
pub struct Outcomes {
    pub v4: Counter,
    pub v6: Counter,
}

/// Rewrites the IPv4 destination in the context, if it is intercepted.
#[inline(always)]
pub fn redirect4(ctx: &SockAddrContext, outcomes: &Outcomes) -> Option<Whose> {
    let (address, port) = read4(ctx);
    let (slot, whose) = intercept4(ctx, address, port, outcomes.v4)?;
    write4(ctx, slot_to_v4(slot).to_be(), maps::door_port4());
    Some(whose)
}

/// Rewrites the IPv6 destination in the context, if it is intercepted. An IPv6 socket that asks for
/// an IPv4 destination stays on IPv4, v4-mapped slot included.
#[inline(always)]
pub fn redirect6(ctx: &SockAddrContext, outcomes: &Outcomes) -> Option<Whose> {
    let (address, port) = read6(ctx);
    if address[0] == 0 && address[1] == 0 && address[2] == Origin::MAPPED {
        let (slot, whose) = intercept4(ctx, address[3], port, outcomes.v4)?;
        write6(ctx, [0, 0, Origin::MAPPED, slot_to_v4(slot).to_be()], maps::door_port4());
        return Some(whose);
    }
    if maps::door_port6() == 0 {
        return None;
    }
    let (slot, whose) = intercept6(ctx, address, port, outcomes.v6)?;
    let [first, second] = maps::slot_prefix6();
    write6(ctx, [first, second, 0, slot.to_be()], maps::door_port6());
    Some(whose)
}

/// The slot to redirect to, and whose connection it is; `None` for a miss, which is not counted, and for a hit that is passed.
#[inline(always)]
fn intercept4(
    ctx: &SockAddrContext,
    address: u32,
    port: u16,
    redirected: Counter,
) -> Option<(u32, Whose)> {
    let destination = Destination4 { address, port, padding: 0 };
    let known = lookup4(&destination);
    if known.is_none() && !wanted4(&destination) {
        return None;
    }
    let slot = admit(ctx).map(|whose| (known.unwrap_or_else(|| assign4(&destination)), whose));
    conclude(ctx, slot, redirected, Origin::v4(address, port))
}

/// As [`intercept4`].
#[inline(always)]
fn intercept6(
    ctx: &SockAddrContext,
    address: [u32; 4],
    port: u16,
    redirected: Counter,
) -> Option<(u32, Whose)> {
    let destination = Destination6 { address, port, padding: 0 };
    let known = lookup6(&destination);
    if known.is_none() && !wanted6(&destination) {
        return None;
    }
    let slot = admit(ctx).map(|whose| (known.unwrap_or_else(|| assign6(&destination)), whose));
    conclude(ctx, slot, redirected, Origin::v6(address, port))
}

/// Counts what became of a hit.
#[inline(always)]
fn conclude(
    ctx: &SockAddrContext,
    slot: Result<(u32, Whose), Counter>,
    redirected: Counter,
    origin: Origin,
) -> Option<(u32, Whose)> {
    let outcome = match slot {
        Ok((_, Whose::Probe)) => Counter::Probe,
        Ok((NO_SLOT, _)) => Counter::NoSlot,
        Ok(_) => redirected,
        Err(passed) => passed,
    };
    let slot = slot.ok().filter(|(slot, _)| *slot != NO_SLOT);
    record(ctx, outcome, origin, slot.map_or(NO_SLOT, |(slot, _)| slot));
    slot
}
