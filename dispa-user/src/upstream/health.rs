//! Whether a backend is fit to be picked: what probes say of it, and what exchanges do.
//!
//! Pure: it has no clock, times are given as what has passed since the pool was made.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::config::{LONGEST_EJECTION, Thresholds};

/// What is known of one backend. Shared by all threads; nothing waits.
#[derive(Debug)]
pub(super) struct Health {
    thresholds: Thresholds,
    /// What probes say; true as long as there was none.
    up: AtomicBool,
    streak: Mutex<Streak>,
    /// Exchanges that failed in a row.
    failures: AtomicU32,
    /// Ejections in a row.
    ejections: AtomicU32,
    /// Milliseconds; 0: it never was.
    ejected_until: AtomicU64,
}

/// Probes in a row that contradict the verdict.
#[derive(Debug, Default)]
struct Streak {
    /// There was a probe. The first one needs no company to be believed.
    begun: bool,
    against: u32,
}

impl Health {
    pub(super) fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            up: AtomicBool::new(true),
            streak: Mutex::default(),
            failures: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
        }
    }

    /// What probes say.
    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    pub(super) fn is_ejected(&self, now: Duration) -> bool {
        self.ejected_until.load(Ordering::Relaxed) > millis(now)
    }

    /// Takes the result of a probe; the verdict, if this one changed it.
    pub(super) fn probed(&self, success: bool) -> Option<bool> {
        let mut streak = self.streak.lock().unwrap_or_else(PoisonError::into_inner);
        let first = !std::mem::replace(&mut streak.begun, true);
        if success == self.is_up() {
            streak.against = 0;
            return None;
        }
        streak.against += 1;
        let enough = if success { self.thresholds.healthy } else { self.thresholds.unhealthy };
        if !first && streak.against < enough {
            return None;
        }
        streak.against = 0;
        self.up.store(success, Ordering::Relaxed);
        Some(success)
    }

    /// An exchange failed, and it was the backend's fault. The time for which it is ejected, if this
    /// was one too many and `may_be_ejected`.
    pub(super) fn failed(
        &self,
        now: Duration,
        may_be_ejected: impl FnOnce() -> bool,
    ) -> Option<Duration> {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let limit = self.thresholds.failures;
        if limit == 0 || failures < limit || self.is_ejected(now) || !may_be_ejected() {
            return None;
        }
        self.failures.store(0, Ordering::Relaxed);
        let times = self.ejections.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let length = self.thresholds.ejection.saturating_mul(times).min(LONGEST_EJECTION);
        self.ejected_until.store(millis(now + length), Ordering::Relaxed);
        Some(length)
    }

    /// An exchange succeeded. That ends a row of failures, and, once the backend has stood for as
    /// long as the longest ejection, the memory of earlier ones.
    pub(super) fn succeeded(&self, now: Duration) {
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.ejections.load(Ordering::Relaxed) > 0 {
            let until = self.ejected_until.load(Ordering::Relaxed);
            if millis(now) >= until + millis(LONGEST_EJECTION) {
                self.ejections.store(0, Ordering::Relaxed);
            }
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::Health;
    use crate::config::{LONGEST_EJECTION, Thresholds};
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn health() -> Health {
        Health::new(Thresholds { healthy: 2, unhealthy: 3, failures: 3, ejection: 10 * SECOND })
    }

    #[test]
    fn the_first_probe_decides_alone_later_ones_need_company() {
        let health = health();
        assert!(health.is_up());
        assert_eq!(health.probed(false), Some(false));
        assert_eq!(health.probed(true), None);
        assert_eq!(health.probed(true), Some(true));
        assert_eq!([false, false, false].map(|it| health.probed(it)), [None, None, Some(false)]);
        assert!(!health.is_up());
    }

    #[test]
    fn a_lost_packet_now_and_then_changes_nothing() {
        let health = health();
        for success in [true, false, false, true, false, false, true] {
            assert_eq!(health.probed(success), None);
        }
        assert!(health.is_up());
    }

    #[test]
    fn failures_in_a_row_eject_longer_each_time() {
        let health = health();
        let fail = |now| [(); 3].map(|()| health.failed(now, || true)).into_iter().flatten().next();
        assert_eq!(fail(SECOND), Some(10 * SECOND));
        assert!(health.is_ejected(10 * SECOND) && !health.is_ejected(11 * SECOND));
        assert_eq!(fail(11 * SECOND), Some(20 * SECOND));
        health.succeeded(32 * SECOND);
        assert_eq!(fail(33 * SECOND), Some(30 * SECOND));
        let later = 64 * SECOND + LONGEST_EJECTION;
        health.succeeded(later);
        assert_eq!(fail(later), Some(10 * SECOND));
    }

    #[test]
    fn a_success_ends_the_row() {
        let health = health();
        for _ in 0..10 {
            assert_eq!(health.failed(SECOND, || true), None);
            assert_eq!(health.failed(SECOND, || true), None);
            health.succeeded(SECOND);
        }
    }

    #[test]
    fn who_may_not_be_ejected_is_not() {
        let health = health();
        for _ in 0..10 {
            assert_eq!(health.failed(SECOND, || false), None);
        }
        assert!(health.failed(SECOND, || true).is_some());
    }

    #[test]
    fn a_success_of_a_probe_does_not_undo_an_ejection() {
        let health = health();
        for _ in 0..3 {
            health.failed(SECOND, || true);
        }
        health.probed(true);
        assert!(health.is_ejected(2 * SECOND));
    }
}
