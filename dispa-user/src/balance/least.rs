//! Least connections.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Member;

/// Picks the backend with the lowest load for its weight.
#[derive(Debug, Default)]
pub(super) struct LeastConnections {
    /// Where the next search starts: after the last pick, so that equally loaded backends take
    /// turns. Threads may overwrite each other's; it only breaks ties.
    start: AtomicUsize,
}

impl LeastConnections {
    pub(super) fn pick(&self, members: &[Member], usable: impl Fn(usize) -> bool) -> Option<usize> {
        let count = members.len();
        let start = self.start.load(Ordering::Relaxed);
        let best = (start..count)
            .chain(0..start)
            .filter(|&index| members[index].weight > 0 && usable(index))
            .map(|index| Candidate::new(index, &members[index]))
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
    fn new(index: usize, member: &Member) -> Self {
        let load = u64::from(member.load.outstanding()) + 1;
        Self { index, weight: u64::from(member.weight), load }
    }

    /// Compares `load / weight` by cross-multiplication: exact, and cannot overflow 64 bits.
    fn is_freer_than(&self, other: &Self) -> bool {
        self.load * other.weight < other.load * self.weight
    }
}
