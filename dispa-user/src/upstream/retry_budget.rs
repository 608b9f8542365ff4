//! How many requests may be sent a second time: a service that fails must not be asked twice as often
//! for it.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// Of the requests, in thousandths of one.
const PER_REQUEST: u64 = 200;

/// Beside that, in a second; of all workers together.
const PER_SECOND: u64 = 10;

/// What can be saved up, in seconds of the latter.
const SAVED: u64 = 10;

/// A worker's share of the retries there may be.
#[derive(Debug)]
pub struct RetryBudget {
    /// Thousandths of a retry.
    left: Cell<u64>,
    /// No more is saved up.
    most: u64,
    per_second: u64,
    filled: Cell<Instant>,
}

impl RetryBudget {
    /// The share of one of so many workers, full.
    #[must_use]
    pub fn new(workers: usize, now: Instant) -> Self {
        let workers = u64::try_from(workers).unwrap_or(u64::MAX).max(1);
        let per_second = (PER_SECOND * 1000).div_ceil(workers);
        let most = (per_second * SAVED).max(1000);
        Self { left: Cell::new(most), most, per_second, filled: Cell::new(now) }
    }

    /// A request was sent for the first time.
    pub fn request(&self) {
        self.add(PER_REQUEST);
    }

    /// Takes one retry, if there is one.
    #[must_use]
    pub fn retry(&self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.filled.get());
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let earned = self.per_second.saturating_mul(millis) / 1000;
        if earned > 0 {
            self.add(earned);
            self.filled.set(self.filled.get() + Duration::from_millis(millis));
        }
        let left = self.left.get().checked_sub(1000);
        left.map(|left| self.left.set(left)).is_some()
    }

    fn add(&self, earned: u64) {
        self.left.set(self.left.get().saturating_add(earned).min(self.most));
    }
}

#[cfg(test)]
mod tests {
    use super::RetryBudget;
    use std::time::{Duration, Instant};

    fn retries(budget: &RetryBudget, now: Instant) -> usize {
        std::iter::repeat_with(|| budget.retry(now)).take(1000).take_while(|may| *may).count()
    }

    #[test]
    fn a_fifth_of_the_requests_and_ten_a_second() {
        let now = Instant::now();
        let budget = RetryBudget::new(1, now);
        assert_eq!(retries(&budget, now), 100, "it begins full");
        for _ in 0..50 {
            budget.request();
        }
        assert_eq!(retries(&budget, now), 10);
        let mut later = now;
        for _ in 0..10 {
            later += Duration::from_millis(150);
            assert!(budget.retry(later));
        }
        assert_eq!(retries(&budget, later), 5);
        assert_eq!(retries(&budget, later + Duration::from_mins(5)), 100, "no more is saved");
    }

    #[test]
    fn workers_share_it() {
        let now = Instant::now();
        assert_eq!(retries(&RetryBudget::new(4, now), now), 25);
        assert_eq!(retries(&RetryBudget::new(1000, now), now), 1);
    }
}
