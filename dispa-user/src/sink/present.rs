//! What time it is, when it is decided what has been kept for long enough. A clock that runs ahead all at
//! once would have everything removed; so it is believed only when it has stayed there for a day.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// How far the clock may run ahead of what it should say, and how long it is doubted otherwise.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The time, as far as it is believed.
#[derive(Debug)]
pub(super) struct Present {
    /// What it was at that moment.
    known: (Timestamp, Instant),
    /// Since when the clock is ahead.
    doubted: Option<Instant>,
}

impl Present {
    /// Of a log whose newest record is from `newest`, and is kept for `retention`. If that is due, all of
    /// it is, and either nobody has written for as long, or the clock is wrong.
    pub(super) fn new(
        clock: Timestamp,
        at: Instant,
        newest: Option<Timestamp>,
        retention: SignedDuration,
    ) -> Self {
        let is_due = |newest: &Timestamp| clock.duration_since(*newest) > retention;
        Self { known: (newest.filter(is_due).unwrap_or(clock), at), doubted: None }
    }

    /// The time now, when the clock says that.
    pub(super) fn now(&mut self, clock: Timestamp, at: Instant) -> Timestamp {
        let (known, then) = self.known;
        let passed = SignedDuration::try_from(at.saturating_duration_since(then));
        let expected = known.saturating_add(passed.unwrap_or(SignedDuration::MAX));
        let expected = expected.unwrap_or(clock);
        if clock.duration_since(expected) <= DAY {
            self.believe(clock, at);
            return clock;
        }
        let since = *self.doubted.get_or_insert_with(|| {
            tracing::warn!(
                %clock, %expected,
                "the clock is far ahead of what it was, or of the traffic log: nothing is removed from that for its age before a day has passed"
            );
            at
        });
        if at.saturating_duration_since(since) < DAY.unsigned_abs() {
            return expected;
        }
        self.believe(clock, at);
        clock
    }

    const fn believe(&mut self, clock: Timestamp, at: Instant) {
        self.known = (clock, at);
        self.doubted = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use jiff::{SignedDuration, Timestamp, ToSpan as _};

    use super::Present;

    const RETENTION: SignedDuration = SignedDuration::from_hours(30 * 24);

    fn clock(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_clock_that_runs_ahead_is_believed_after_a_day() {
        let (start, begun) = (clock("2024-01-31T12:00:00Z"), Instant::now());
        let mut present = Present::new(start, begun, Some(start), RETENTION);
        let hour = |hours: u64| begun + Duration::from_hours(hours);
        assert_eq!(present.now(start + 1.hour(), hour(1)), start + 1.hour());
        let ahead = clock("2034-01-31T12:00:00Z");
        assert_eq!(present.now(ahead, hour(2)), start + 2.hours());
        assert_eq!(present.now(ahead + 23.hours(), hour(25)), start + 25.hours());
        assert_eq!(present.now(ahead + 24.hours(), hour(26)), ahead + 24.hours());
        assert_eq!(present.now(ahead + 25.hours(), hour(27)), ahead + 25.hours());
    }

    #[test]
    fn a_clock_that_is_put_right_again_is_believed_at_once() {
        let (start, begun) = (clock("2024-01-31T12:00:00Z"), Instant::now());
        let mut present = Present::new(start, begun, None, RETENTION);
        let hour = |hours: u64| begun + Duration::from_hours(hours);
        assert_eq!(present.now(clock("2099-01-01T00:00:00Z"), hour(1)), start + 1.hour());
        assert_eq!(present.now(start + 2.hours(), hour(2)), start + 2.hours());
        let behind = clock("1990-01-01T00:00:00Z");
        assert_eq!(present.now(behind, hour(3)), behind);
    }

    #[test]
    fn a_log_that_is_due_altogether_is_kept_for_a_day() {
        let (newest, begun) = (clock("2024-01-31T12:00:00Z"), Instant::now());
        let start = newest + 1_000.hours();
        let mut present = Present::new(start, begun, Some(newest), RETENTION);
        assert_eq!(present.now(start, begun), newest);
        let later = begun + Duration::from_hours(24);
        assert_eq!(present.now(start + 24.hours(), later), start + 24.hours());
        // Some of it is not.
        let start = newest + 700.hours();
        let mut present = Present::new(start, begun, Some(newest), RETENTION);
        assert_eq!(present.now(start, begun), start);
    }
}
