//! Whether a backend is fit to be picked: what probes say of it, and what exchanges do.
//!
//! Pure: it has no clock, times are given as what has passed since the daemon began.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::config::{LONGEST_EJECTION, Thresholds};

/// Seconds that an answer is remembered for the success ratio.
const WINDOW: usize = 10;

/// The least share of its exchanges that a backend gets which is back.
const LEAST_SHARE: f64 = 0.1;

/// How much longer than due an ejection may be, so that backends ejected together do not come back
/// together.
const JITTER: f64 = 0.1;

/// What an exchange tells of its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// It answered.
    Good,
    /// It answered with an error (5xx) that may be the request's fault.
    Error,
    /// It could not be reached, broke off, took too long, or said itself that it cannot serve.
    Failure,
}

/// What is known of one backend. Shared by all threads; nothing waits for long.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Probes say so; not as long as there was none.
    down: AtomicBool,
    streak: Mutex<Streak>,
    /// Exchanges that failed in a row.
    failures: AtomicU32,
    /// Ejections in a row.
    ejections: AtomicU32,
    /// Milliseconds; 0: it never was.
    ejected_until: AtomicU64,
    /// When a probe last put it back, in milliseconds; 0: never.
    up_since: AtomicU64,
    answers: Mutex<[Second; WINDOW]>,
}

/// Probes in a row that contradict the verdict.
#[derive(Debug, Default)]
struct Streak {
    /// There was a probe. The first one needs no company to be believed.
    begun: bool,
    against: u32,
}

/// The answers of one second.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    number: u64,
    counts: Answers,
}

/// How many answers were good, of all there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) all: u32,
    pub(super) good: u32,
}

impl Answers {
    pub(super) fn and(self, other: Self) -> Self {
        Self { all: self.all.saturating_add(other.all), good: self.good.saturating_add(other.good) }
    }

    /// Whether there are so many that a ratio says something, and it is below the limit.
    pub(super) fn are_bad(self, thresholds: &Thresholds) -> bool {
        let (good, all) = (u64::from(self.good), u64::from(self.all));
        self.all >= thresholds.samples && good * 100 < all * u64::from(thresholds.success)
    }
}

impl Health {
    /// What probes say.
    pub(super) fn is_up(&self) -> bool {
        !self.down.load(Ordering::Relaxed)
    }

    pub(super) fn is_ejected(&self, now: Duration) -> bool {
        self.ejected_until.load(Ordering::Relaxed) > millis(now)
    }

    /// The part of its share that it gets: less than 1 for `slow_start` after it came back.
    pub(super) fn share(&self, now: Duration, slow_start: Duration) -> f64 {
        let up_since = self.up_since.load(Ordering::Relaxed);
        let back = up_since.max(self.ejected_until.load(Ordering::Relaxed));
        if back == 0 || slow_start.is_zero() {
            return 1.0;
        }
        let since = now.saturating_sub(Duration::from_millis(back));
        (since.as_secs_f64() / slow_start.as_secs_f64()).clamp(LEAST_SHARE, 1.0)
    }

    /// Takes the result of a probe; the verdict, if this one changed it.
    pub(super) fn probed(
        &self,
        success: bool,
        now: Duration,
        thresholds: &Thresholds,
    ) -> Option<bool> {
        let mut streak = lock(&self.streak);
        let first = !std::mem::replace(&mut streak.begun, true);
        if success == self.is_up() {
            streak.against = 0;
            return None;
        }
        streak.against += 1;
        let enough = if success { thresholds.healthy } else { thresholds.unhealthy };
        if !first && streak.against < enough {
            return None;
        }
        streak.against = 0;
        if success {
            self.up_since.store(millis(now), Ordering::Relaxed);
        }
        self.down.store(!success, Ordering::Relaxed);
        Some(success)
    }

    /// Notes what an exchange tells. Whether there were too many failures in a row.
    pub(super) fn exchanged(&self, worth: Worth, now: Duration, thresholds: &Thresholds) -> bool {
        if self.is_ejected(now) {
            // What was under way tells nothing that is not known.
            return false;
        }
        self.note(worth == Worth::Good, now.as_secs());
        if worth != Worth::Failure {
            self.ends_row(now);
            return false;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        thresholds.failures > 0 && failures >= thresholds.failures
    }

    fn note(&self, good: bool, second: u64) {
        let mut answers = lock(&self.answers);
        let index = usize::try_from(second % WINDOW as u64).unwrap_or(0);
        let Some(slot) = answers.get_mut(index) else { return };
        if slot.number != second {
            *slot = Second { number: second, counts: Answers::default() };
        }
        slot.counts = slot.counts.and(Answers { all: 1, good: good.into() });
    }

    /// The answers of the last seconds.
    pub(super) fn answers(&self, now: Duration) -> Answers {
        let oldest = (now.as_secs() + 1).saturating_sub(WINDOW as u64);
        let answers = lock(&self.answers);
        let recent = answers.iter().filter(|second| second.number >= oldest);
        recent.fold(Answers::default(), |sum, second| sum.and(second.counts))
    }

    /// Ejects it, unless it is already: for how long. What led to it is forgotten. `chance` is from 0
    /// to 1.
    pub(super) fn eject(
        &self,
        now: Duration,
        chance: f64,
        thresholds: &Thresholds,
    ) -> Option<Duration> {
        if self.is_ejected(now) {
            return None;
        }
        self.failures.store(0, Ordering::Relaxed);
        *lock(&self.answers) = Default::default();
        let times = self.ejections.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let due = thresholds.ejection.saturating_mul(times).min(LONGEST_EJECTION);
        let length = due.mul_f64(1.0 + JITTER * chance).min(LONGEST_EJECTION);
        self.ejected_until.store(millis(now + length), Ordering::Relaxed);
        Some(length)
    }

    /// Ends a row of failures, and, once the backend has stood for as long as the longest ejection,
    /// the memory of earlier ones.
    fn ends_row(&self, now: Duration) {
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Answers, Health, Worth};
    use crate::config::{LONGEST_EJECTION, Thresholds};
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);
    const THRESHOLDS: Thresholds = Thresholds {
        healthy: 2,
        unhealthy: 3,
        failures: 3,
        success: 75,
        samples: 20,
        ejection: Duration::from_secs(10),
        slow_start: Duration::from_secs(20),
    };

    fn probed(health: &Health, success: bool) -> Option<bool> {
        health.probed(success, 5 * SECOND, &THRESHOLDS)
    }

    fn fail(health: &Health, now: Duration) -> bool {
        health.exchanged(Worth::Failure, now, &THRESHOLDS)
    }

    #[test]
    fn the_first_probe_decides_alone_later_ones_need_company() {
        let health = Health::default();
        assert!(health.is_up());
        assert_eq!(probed(&health, false), Some(false));
        assert_eq!(probed(&health, true), None);
        assert_eq!(probed(&health, true), Some(true));
        let row = [false, false, false].map(|it| probed(&health, it));
        assert_eq!(row, [None, None, Some(false)]);
        assert!(!health.is_up());
    }

    #[test]
    fn a_lost_packet_now_and_then_changes_nothing() {
        let health = Health::default();
        for success in [true, false, false, true, false, false, true] {
            assert_eq!(probed(&health, success), None);
        }
        assert!(health.is_up());
    }

    #[test]
    fn ejections_grow_with_their_count_and_are_forgotten() {
        let health = Health::default();
        let eject = |now| health.eject(now, 0.0, &THRESHOLDS);
        assert_eq!([(); 3].map(|()| fail(&health, SECOND)), [false, false, true]);
        assert_eq!(eject(SECOND), Some(10 * SECOND));
        assert!(health.is_ejected(10 * SECOND) && !health.is_ejected(11 * SECOND));
        assert_eq!(eject(2 * SECOND), None, "it is already");
        assert_eq!(eject(11 * SECOND), Some(20 * SECOND));
        health.exchanged(Worth::Good, 32 * SECOND, &THRESHOLDS);
        assert_eq!(eject(33 * SECOND), Some(30 * SECOND));
        let later = 64 * SECOND + LONGEST_EJECTION;
        health.exchanged(Worth::Good, later, &THRESHOLDS);
        assert_eq!(eject(later), Some(10 * SECOND));
    }

    #[test]
    fn chance_makes_an_ejection_a_little_longer_never_longer_than_the_longest() {
        let length = |chance| Health::default().eject(SECOND, chance, &THRESHOLDS);
        assert_eq!(length(1.0), Some(11 * SECOND));
        let health = Health::default();
        let mut now = SECOND;
        for _ in 0..40 {
            now += health.eject(now, 1.0, &THRESHOLDS).expect("not ejected");
        }
        assert_eq!(health.eject(now, 1.0, &THRESHOLDS), Some(LONGEST_EJECTION));
    }

    #[test]
    fn any_answer_ends_a_row_of_failures() {
        let health = Health::default();
        for worth in [Worth::Good, Worth::Error].repeat(5) {
            assert!(!fail(&health, SECOND) && !fail(&health, SECOND));
            health.exchanged(worth, SECOND, &THRESHOLDS);
        }
    }

    #[test]
    fn answers_are_remembered_for_ten_seconds() {
        let health = Health::default();
        for (second, worth) in [(0, Worth::Good), (4, Worth::Error), (4, Worth::Failure)] {
            health.exchanged(worth, second * SECOND, &THRESHOLDS);
        }
        assert_eq!(health.answers(9 * SECOND), Answers { all: 3, good: 1 });
        assert_eq!(health.answers(10 * SECOND), Answers { all: 2, good: 0 });
        assert_eq!(health.answers(13 * SECOND), Answers { all: 2, good: 0 });
        assert_eq!(health.answers(14 * SECOND), Answers::default());
        health.exchanged(Worth::Good, 14 * SECOND, &THRESHOLDS);
        assert_eq!(health.answers(14 * SECOND), Answers { all: 1, good: 1 });
    }

    #[test]
    fn a_ratio_needs_samples() {
        let bad = |all, good| Answers { all, good }.are_bad(&THRESHOLDS);
        assert!(!bad(19, 0) && bad(20, 14) && !bad(20, 15));
    }

    #[test]
    fn a_share_grows_from_a_tenth_once_it_is_back() {
        let health = Health::default();
        let share = |at: u32| health.share(at * SECOND, THRESHOLDS.slow_start);
        assert!((share(5) - 1.0).abs() < 1e-9, "it was always there");
        probed(&health, false);
        probed(&health, true);
        probed(&health, true);
        for (at, expected) in [(5, 0.1), (15, 0.5), (25, 1.0), (90, 1.0)] {
            assert!((share(at) - expected).abs() < 1e-9, "{at}: {}", share(at));
        }
        health.eject(30 * SECOND, 0.0, &THRESHOLDS);
        assert!((share(45) - 0.25).abs() < 1e-9);
        assert!((health.share(45 * SECOND, Duration::ZERO) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_success_of_a_probe_does_not_undo_an_ejection() {
        let health = Health::default();
        health.eject(SECOND, 0.0, &THRESHOLDS);
        probed(&health, true);
        assert!(health.is_ejected(2 * SECOND));
    }
}
