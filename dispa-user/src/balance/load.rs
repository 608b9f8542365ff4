//! What one backend is going through, in all its pools: exchanges under way, and how fast it answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

/// How long a slow answer is held against a backend: after so long, to 37 % of it.
const MEMORY: Duration = Duration::from_secs(10);

/// What a failed exchange counts as, at least: who fails at once must not look fast.
pub(super) const FAILURE: Duration = Duration::from_secs(1);

/// Shared by threads without a lock.
#[derive(Debug, Default)]
pub struct Load {
    outstanding: AtomicU32,
    /// A moving average that rises at once and falls slowly ("peak EWMA"): microseconds, as the bits
    /// of an `f64`; 0: never measured. Threads may overwrite each other's measurement; it is one of
    /// many.
    latency: AtomicU64,
    /// When it was last measured, in microseconds.
    measured: AtomicU64,
}

impl Load {
    /// How many exchanges are under way.
    #[must_use]
    pub fn outstanding(&self) -> u32 {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// How long answers take at their slowest of late; `None` before the first.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        let micros = f64::from_bits(self.latency.load(Ordering::Relaxed));
        (micros > 0.0).then(|| Duration::from_secs_f64(micros / 1e6))
    }

    /// An exchange took so long, or failed after so long. `now` is since whenever, always the same.
    pub fn observe(&self, took: Duration, success: bool, now: Duration) {
        let now = micros(now);
        let took = if success { took } else { took.max(FAILURE) };
        let sample = took.as_secs_f64() * 1e6;
        let average = f64::from_bits(self.latency.load(Ordering::Relaxed));
        let kept = self.kept(now);
        let average =
            if sample > average { sample } else { average * kept + sample * (1.0 - kept) };
        self.latency.store(average.to_bits(), Ordering::Relaxed);
        self.measured.store(now, Ordering::Relaxed);
    }

    /// The average in microseconds, less for every moment since: who was slow once gets another
    /// chance. `None`: it was never measured.
    pub(super) fn decayed(&self, now: Duration) -> Option<f64> {
        let average = f64::from_bits(self.latency.load(Ordering::Relaxed));
        (average > 0.0).then(|| average * self.kept(micros(now)))
    }

    /// What is left of a measurement.
    fn kept(&self, now: u64) -> f64 {
        let since = now.saturating_sub(self.measured.load(Ordering::Relaxed));
        (-Duration::from_micros(since).as_secs_f64() / MEMORY.as_secs_f64()).exp()
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// One exchange under way on a backend. Dropping it, in whatever way the exchange ends, takes it
/// off the count.
#[derive(Debug)]
pub struct Lease(Arc<Load>);

impl Lease {
    /// One more.
    #[must_use]
    pub fn new(load: &Arc<Load>) -> Self {
        load.outstanding.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(load))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}
