//! The better of two that chance picks (Mitzenmacher, 2001), by load and by how slow each has been.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::random::Random;

/// How long a slow answer is held against a backend: after so long, to 37 % of it.
const MEMORY: Duration = Duration::from_secs(10);

/// What a failed exchange counts as, at least: who fails at once must not look fast.
const FAILURE: Duration = Duration::from_secs(1);

/// Weighs what is under way against what was measured.
#[derive(Debug)]
pub(super) struct TwoChoices {
    weights: Box<[u32]>,
    latencies: Box<[Latency]>,
    random: Random,
    /// The newest measurement of all, in microseconds; what time is when somebody picks.
    newest: AtomicU64,
}

/// A moving average that rises at once and falls slowly ("peak EWMA"). Threads may overwrite each
/// other's measurement; it is one of many.
#[derive(Debug, Default)]
struct Latency {
    /// Microseconds, as the bits of an `f64`; 0: never measured.
    average: AtomicU64,
    /// When it was last measured, in microseconds.
    at: AtomicU64,
}

impl TwoChoices {
    pub(super) fn new(weights: &[u32], seed: u64) -> Self {
        Self {
            weights: weights.into(),
            latencies: weights.iter().map(|_| Latency::default()).collect(),
            random: Random::new(weights, seed),
            newest: AtomicU64::new(0),
        }
    }

    pub(super) fn pick(
        &self,
        usable: impl Fn(usize) -> bool,
        outstanding: impl Fn(usize) -> u32,
    ) -> Option<usize> {
        let one = self.random.pick(&usable)?;
        let Some(other) = self.random.pick(|index| index != one && usable(index)) else {
            return Some(one);
        };
        let cost = |index| self.cost(index, outstanding(index));
        Some(if cost(other) < cost(one) { other } else { one })
    }

    /// What one exchange more would cost there. One that was never measured costs nothing, for it is
    /// to be measured; while it is, it costs as much as one that fails. Nothing is forgotten as long
    /// as answers are due: one that hangs must not look better the longer it does.
    fn cost(&self, index: usize, outstanding: u32) -> f64 {
        let now = if outstanding > 0 { 0 } else { self.newest.load(Ordering::Relaxed) };
        let latency = match self.latencies.get(index) {
            Some(latency) if outstanding > 0 && !latency.is_known() => FAILURE.as_secs_f64() * 1e6,
            Some(latency) => latency.decayed(now),
            None => 0.0,
        };
        let weight = self.weights.get(index).copied().unwrap_or(1).max(1);
        (f64::from(outstanding) + 1.0) * latency / f64::from(weight)
    }

    /// An exchange took so long, or failed after so long.
    pub(super) fn observe(&self, index: usize, took: Duration, success: bool, now: Duration) {
        let Some(latency) = self.latencies.get(index) else { return };
        let now = micros(now);
        self.newest.fetch_max(now, Ordering::Relaxed);
        let took = if success { took } else { took.max(FAILURE) };
        latency.observe(took.as_secs_f64() * 1e6, now);
    }
}

impl Latency {
    fn observe(&self, sample: f64, now: u64) {
        let average = f64::from_bits(self.average.load(Ordering::Relaxed));
        let kept = self.kept(now);
        let average =
            if sample > average { sample } else { average * kept + sample * (1.0 - kept) };
        self.average.store(average.to_bits(), Ordering::Relaxed);
        self.at.store(now, Ordering::Relaxed);
    }

    fn is_known(&self) -> bool {
        self.average.load(Ordering::Relaxed) != 0
    }

    /// The average, less for every moment since: who was slow once gets another chance.
    fn decayed(&self, now: u64) -> f64 {
        f64::from_bits(self.average.load(Ordering::Relaxed)) * self.kept(now)
    }

    /// What is left of a measurement.
    fn kept(&self, now: u64) -> f64 {
        let since = now.saturating_sub(self.at.load(Ordering::Relaxed));
        (-Duration::from_micros(since).as_secs_f64() / MEMORY.as_secs_f64()).exp()
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
