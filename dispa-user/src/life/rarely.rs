//! Saying the same thing only now and then.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Lets something through at most once in a while.
#[derive(Debug)]
pub struct Rarely {
    every: Duration,
    last: Mutex<Option<Instant>>,
}

impl Rarely {
    /// At most once in `every`.
    #[must_use]
    pub const fn new(every: Duration) -> Self {
        Self { every, last: Mutex::new(None) }
    }

    /// Whether it is time again.
    pub fn now(&self, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.saturating_duration_since(last) >= self.every);
        if due {
            *last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::Rarely;
    use std::time::{Duration, Instant};

    #[test]
    fn once_in_a_while_is_enough() {
        let minute = Duration::from_mins(1);
        let rarely = Rarely::new(minute);
        let start = Instant::now();
        assert!(rarely.now(start));
        assert!(!rarely.now(start + minute.saturating_sub(Duration::from_secs(1))));
        assert!(rarely.now(start + minute));
    }
}
