//! Round robin, plain and weighted.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The longest sequence that weights are allowed to ask for. Weights whose sum, after division by
/// their common divisor, exceeds it are scaled down: shares are then right to about one part in
/// 4096, for 16 KiB of memory.
const MAX_SLOTS: u64 = 4096;

/// A turn for each backend, as often as its weight says, gone round for ever.
#[derive(Debug)]
pub(super) struct Sequence {
    slots: Box<[u32]>,
    cursor: AtomicUsize,
}

impl Sequence {
    /// One turn each.
    pub(super) fn even(weights: &[u32]) -> Self {
        let ones: Vec<u32> = weights.iter().map(|&weight| weight.min(1)).collect();
        Self::weighted(&ones)
    }

    /// Turns in proportion to the weights, spread out as nginx does: 5, 1, 1 gives a a b a c a a.
    pub(super) fn weighted(weights: &[u32]) -> Self {
        Self { slots: smooth(&reduce(weights)), cursor: AtomicUsize::new(0) }
    }

    /// A turn that falls to an unusable backend is used up, not handed to the one after it: that
    /// would double its neighbour's share.
    pub(super) fn pick(&self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let turns = std::iter::repeat_with(|| self.next_slot());
        turns
            .take(self.slots.len())
            .map_while(|slot| slot)
            .find(|&index| usable(index))
            // Other threads take turns too, so that the usable ones may all have gone to them.
            .or_else(|| self.indices().find(|&index| usable(index)))
    }

    fn next_slot(&self) -> Option<usize> {
        let turn = self.cursor.fetch_add(1, Ordering::Relaxed);
        let slot = turn.checked_rem(self.slots.len())?;
        self.slots.get(slot).map(|&index| index as usize)
    }

    fn indices(&self) -> impl Iterator<Item = usize> {
        self.slots.iter().map(|&index| index as usize)
    }
}

/// The smallest weights with the same proportions, or nearly so where `MAX_SLOTS` demands it.
/// A weight above 0 stays above 0.
fn reduce(weights: &[u32]) -> Vec<u64> {
    let divisor = weights.iter().fold(0, |divisor, &weight| gcd(divisor, weight)).max(1);
    let reduced: Vec<u64> = weights.iter().map(|&weight| u64::from(weight / divisor)).collect();
    let sum: u64 = reduced.iter().sum();
    if sum <= MAX_SLOTS {
        return reduced;
    }
    let scale = |weight: u64| (weight * MAX_SLOTS / sum).max(weight.min(1));
    reduced.into_iter().map(scale).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Smooth weighted round robin: each turn, every backend earns its weight; the richest takes the
/// turn and pays the sum of all weights.
fn smooth(weights: &[u64]) -> Box<[u32]> {
    let sum: i64 = weights.iter().map(|&weight| weight.cast_signed()).sum();
    let mut credits = vec![0i64; weights.len()];
    let turn = |_| {
        for (credit, weight) in credits.iter_mut().zip(weights) {
            *credit += weight.cast_signed();
        }
        let richest = first_max(&credits)?;
        credits[richest] -= sum;
        u32::try_from(richest).ok()
    };
    (0..sum).map_while(turn).collect()
}

/// The first of the greatest, where `max_by_key` would take the last.
fn first_max(values: &[i64]) -> Option<usize> {
    let indices = 0..values.len();
    indices.reduce(|best, next| if values[next] > values[best] { next } else { best })
}
