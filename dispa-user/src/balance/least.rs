//! Least connections.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Picks the backend with the lowest load for its weight.
#[derive(Debug)]
pub(super) struct LeastConnections {
    weights: Box<[u32]>,
    /// Where the next search starts: after the last pick, so that equally loaded backends take
    /// turns. Threads may overwrite each other's; it only breaks ties.
    start: AtomicUsize,
}

impl LeastConnections {
    pub(super) fn new(weights: &[u32]) -> Self {
        Self { weights: weights.into(), start: AtomicUsize::new(0) }
    }

    pub(super) fn pick(
        &self,
        usable: impl Fn(usize) -> bool,
        outstanding: impl Fn(usize) -> u32,
    ) -> Option<usize> {
        let count = self.weights.len();
        let start = self.start.load(Ordering::Relaxed);
        let best = (start..count)
            .chain(0..start)
            .filter(|&index| self.weights[index] > 0 && usable(index))
            .map(|index| Candidate::new(index, self.weights[index], outstanding(index)))
            .reduce(|best, next| if next.is_freer_than(&best) { next } else { best })?;
        self.start.store((best.index + 1) % count, Ordering::Relaxed);
        Some(best.index)
    }
}

struct Candidate {
    index: usize,
    weight: u64,
    /// What its load would be with one exchange more. Counting that one makes an idle backend of
    /// weight 3 freer than an idle one of weight 1.
    load: u64,
}

impl Candidate {
    fn new(index: usize, weight: u32, outstanding: u32) -> Self {
        Self { index, weight: u64::from(weight), load: u64::from(outstanding) + 1 }
    }

    /// Compares `load / weight` by cross-multiplication: exact, and cannot overflow 64 bits.
    fn is_freer_than(&self, other: &Self) -> bool {
        self.load * other.weight < other.load * self.weight
    }
}
