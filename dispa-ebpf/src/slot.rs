//! The slot of a destination: looked up, or, where the address alone is reason enough, given out
//! here, so that a destination met for the first time waits for nobody.

use aya_ebpf::bindings::BPF_NOEXIST;
use dispa_common::{DNS_PORT, Destination4, Destination6, Origin};

use crate::maps::{self, DESTINATIONS4, DESTINATIONS6, FREE_SLOTS, SLOTS};

/// Stands for nothing.
pub const NO_SLOT: u32 = 0;

/// The slot that `destination` has.
#[inline(always)]
pub fn lookup4(destination: &Destination4) -> Option<u32> {
    // SAFETY: the value is copied at once; the daemon may change it, never tear it.
    unsafe { DESTINATIONS4.get(destination) }.copied()
}

/// As [`lookup4`].
#[inline(always)]
pub fn lookup6(destination: &Destination6) -> Option<u32> {
    // SAFETY: as above.
    unsafe { DESTINATIONS6.get(destination) }.copied()
}

/// Whether `destination` is intercepted though nobody has named it.
#[inline(always)]
pub fn wanted4(destination: &Destination4) -> bool {
    let address = u32::from_be(destination.address);
    // 224.0.0.0/4 and above are many hosts, or none.
    address < 0xe000_0000 && wanted(destination.port, address >> 24 == 127)
}

/// As [`wanted4`].
#[inline(always)]
pub fn wanted6(destination: &Destination6) -> bool {
    let high = u32::from_be(destination.address[0]);
    // fe80::/10 means nothing without its interface, which a slot does not hold; ff00::/8 is many.
    let reachable = high & 0xffc0_0000 != 0xfe80_0000 && high >> 24 != 0xff;
    reachable && wanted(destination.port, destination.address == [0, 0, 0, 1_u32.to_be()])
}

/// Gives `destination` a slot; [`NO_SLOT`] where none is free.
#[inline(always)]
pub fn assign4(destination: &Destination4) -> u32 {
    let slot = take(Origin::v4(destination.address, destination.port));
    if slot == NO_SLOT || DESTINATIONS4.insert(destination, &slot, u64::from(BPF_NOEXIST)).is_ok() {
        return slot;
    }
    give_back(slot);
    // Another processor was first, or the table is full.
    lookup4(destination).unwrap_or(NO_SLOT)
}

/// As [`assign4`].
#[inline(always)]
pub fn assign6(destination: &Destination6) -> u32 {
    let slot = take(Origin::v6(destination.address, destination.port));
    if slot == NO_SLOT || DESTINATIONS6.insert(destination, &slot, u64::from(BPF_NOEXIST)).is_ok() {
        return slot;
    }
    give_back(slot);
    lookup6(destination).unwrap_or(NO_SLOT)
}

/// `port` in network byte order. Loopback is this host speaking to itself: only its resolver is of
/// interest there.
#[inline(always)]
fn wanted(port: u16, is_loopback: bool) -> bool {
    let port = u16::from_be(port);
    (maps::dns_on() && port == DNS_PORT) || (!is_loopback && maps::caught(port))
}

/// A free slot that stands for `origin` from now on.
#[inline(always)]
fn take(origin: Origin) -> u32 {
    let Ok(Some(slot)) = FREE_SLOTS.pop() else { return NO_SLOT };
    let Some(entry) = SLOTS.get_ptr_mut(slot) else { return NO_SLOT };
    // SAFETY: an array entry; the slot is ours alone until it is in the table.
    unsafe { *entry = origin };
    slot
}

#[inline(always)]
fn give_back(slot: u32) {
    if let Some(entry) = SLOTS.get_ptr_mut(slot) {
        // SAFETY: the slot is in no table.
        unsafe { (*entry).used = 0 };
    }
    // The queue had room for it a moment ago.
    let _ = FREE_SLOTS.push(&slot, 0);
}
