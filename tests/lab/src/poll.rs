//! Waiting for a condition, with a deadline.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Between two looks: short beside anything a test waits for, long beside the look itself.
const PAUSE: Duration = Duration::from_millis(2);

/// Looks again and again until `check` finds something; fails, naming `what`, after `timeout`.
pub fn until<T>(timeout: Duration, what: &str, mut check: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(found) = check() {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("waited {timeout:?} in vain for {what}");
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::until;

    #[test]
    fn it_returns_what_was_found_or_says_what_was_not() {
        let mut looks = 0;
        let found = until(Duration::from_secs(5), "the third look", || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(found.ok(), Some(3));

        let missing = until(Duration::ZERO, "a miracle", || None::<()>);
        assert!(missing.is_err_and(|error| error.to_string().contains("a miracle")));
    }
}
