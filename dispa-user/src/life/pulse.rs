//! The heartbeats of all workers. What counts is the oldest: one hung worker is a hung daemon for
//! every connection that waits for it.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// One stamp for each worker, in ns of a monotonic clock.
#[derive(Clone, Debug)]
pub struct Pulse {
    stamps: Arc<[AtomicU64]>,
}

impl Pulse {
    /// For `workers` workers, none of them seen yet.
    #[must_use]
    pub fn new(workers: NonZeroUsize) -> Self {
        Self { stamps: (0..workers.get()).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Worker `worker` (from 0) is alive at `now_ns`; the oldest stamp of all.
    #[must_use]
    pub fn stamp(&self, worker: usize, now_ns: u64) -> u64 {
        if let Some(stamp) = self.stamps.get(worker) {
            stamp.store(now_ns, Ordering::Relaxed);
        }
        self.oldest()
    }

    /// The oldest stamp of all; 0 as long as one was never seen.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.stamps.iter().map(|stamp| stamp.load(Ordering::Relaxed)).min().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::Pulse;
    use std::num::NonZeroUsize;

    #[test]
    fn the_oldest_worker_counts() {
        let pulse = Pulse::new(NonZeroUsize::new(3).expect("3"));
        assert_eq!(pulse.stamp(0, 100), 0);
        assert_eq!(pulse.stamp(1, 200), 0);
        assert_eq!(pulse.stamp(2, 300), 100);
        assert_eq!(pulse.stamp(0, 400), 200);
        assert_eq!(pulse.oldest(), 200);
    }
}
