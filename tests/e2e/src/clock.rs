//! Whether something took as long as it should, loosely: the machine is shared.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// What a busy machine, and a timer that ticks by the second, may add.
const SLACK: Duration = Duration::from_secs(3);

/// A moment from which something is timed.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// Now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Fails unless about this many seconds have passed: nine tenths, or at most three more.
    pub fn has_run(self, seconds: u64) -> Result<()> {
        let (time, wanted) = (self.0.elapsed(), Duration::from_secs(seconds));
        ensure!(time >= wanted * 9 / 10, "after {time:?} already, not {wanted:?}");
        ensure!(time <= wanted + SLACK, "only after {time:?}, not {wanted:?}");
        Ok(())
    }

    /// How long ago it was started.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
