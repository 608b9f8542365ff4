//! Slots: loopback addresses that each stand for one original destination.
//!
//! IPv4 slot `n` is 127.208.(n >> 8).(n & 255). IPv6 slot `n` is `n` in the low 16 bits of a /64
//! that the daemon routes to `lo`. Slot 0 stands for nothing.

/// Slots there are, slot 0 (never given out) and [`PROBE_SLOT`] included.
pub const SLOT_COUNT: u32 = 65_536;

/// The last slot, of both families: where the daemon's own probes of the path arrive, and nothing else.
/// What they ask for is slot 0 at the door's own port.
pub const PROBE_SLOT: u32 = SLOT_COUNT - 1;

/// 127.208.0.0 as a host-order integer.
pub const SLOT4_BASE: u32 = 0x7fd0_0000;

/// Where probes over IPv4 come from, as a host-order integer: slot 0, which no program has a use for.
/// Another instance knows them by it, and leaves them to the one that they are of.
pub const PROBE_SOURCE4: u32 = SLOT4_BASE;

/// The /16 that all IPv4 slots share.
pub const SLOT4_MASK: u32 = 0xffff_0000;

/// The upper 64 bits of every IPv6 slot, as two words in network byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotPrefix6 {
    /// The words of the address as they stand in memory.
    pub words: [u32; 2],
}

/// The IPv4 address, host order, of slot `slot`; bits above the low 16 are ignored.
#[inline]
#[must_use]
pub const fn slot_to_v4(slot: u32) -> u32 {
    SLOT4_BASE | (slot & !SLOT4_MASK)
}

/// The slot that IPv4 address `address` (host order) is, if it is one.
#[inline]
#[must_use]
pub const fn slot_of_v4(address: u32) -> Option<u32> {
    if address & SLOT4_MASK == SLOT4_BASE { Some(address & !SLOT4_MASK) } else { None }
}

#[cfg(test)]
mod tests {
    use super::{SLOT_COUNT, slot_of_v4, slot_to_v4};

    #[test]
    fn every_slot_survives_the_way_there_and_back() {
        for slot in 0..SLOT_COUNT {
            assert_eq!(slot_of_v4(slot_to_v4(slot)), Some(slot));
        }
    }

    #[test]
    fn an_address_outside_the_slot_block_is_no_slot() {
        assert_eq!(slot_of_v4(0x7f00_0001), None);
        assert_eq!(slot_of_v4(0x7fd1_0000), None);
        assert_eq!(slot_of_v4(0x7fcf_ffff), None);
    }
}
