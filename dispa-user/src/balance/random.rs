//! Weighted chance.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use super::Member;

/// The step of `SplitMix64` (Steele, Lea and Flood, 2014): 2^64 divided by the golden ratio, odd.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Picks by chance. Not for secrets: it spreads load, and whoever sees enough picks can tell the
/// next one.
#[derive(Debug)]
pub(super) struct Random {
    state: AtomicU64,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: AtomicU64::new(seed) }
    }

    /// One pass, keeping each usable backend with the chance `its weight / weights so far`, which
    /// gives each its share without knowing beforehand which of them are usable.
    pub(super) fn pick(&self, members: &[Member], usable: impl Fn(usize) -> bool) -> Option<usize> {
        let mut total = 0;
        let mut picked = None;
        for (index, &Member { weight, .. }) in members.iter().enumerate() {
            if weight == 0 || !usable(index) {
                continue;
            }
            total += u64::from(weight);
            if self.below(total) < u64::from(weight) {
                picked = Some(index);
            }
        }
        picked
    }

    /// A number from 0 to `bound` - 1. The bias of multiplying instead of rejecting is below
    /// `bound` / 2^64.
    fn below(&self, bound: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// `SplitMix64`: its state is a plain counter, so threads can share it by an atomic addition.
    fn next(&self) -> u64 {
        let mut z = self.state.fetch_add(STEP, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The standard library keys its hash maps from the system's randomness; so do we, so that
/// daemons started together do not pick alike.
pub(super) fn seed() -> u64 {
    RandomState::new().hash_one(0)
}
