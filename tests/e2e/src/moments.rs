//! Who answers at which moment: a probe in the cgroup, read by a test.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result};
use dispa_lab::{Process, until};
use nix::time::{ClockId, clock_gettime};

/// A probe answers every few milliseconds; this long without the answer awaited is a failure.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Nanoseconds of the clock all processes share.
pub fn now_ns() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(u64::try_from(Duration::from(now).as_nanos())?)
}

/// What became of one connection.
#[derive(Clone, Debug)]
pub struct Answer {
    /// When it was begun, by the clock of [`now_ns`].
    pub begun_ns: u64,
    /// Who answered: the name of a server, or `-` and the kind of the error.
    pub who: String,
}

/// A running `probe`.
#[derive(Debug)]
pub struct Probe(Process);

impl Probe {
    /// Starts one.
    pub fn start(command: &mut Command) -> Result<Self> {
        Ok(Self(Process::start(command)?))
    }

    /// All it has heard so far, in the order the connections were begun.
    #[must_use]
    pub fn answers(&self) -> Vec<Answer> {
        let lines = self.0.lines();
        let mut answers: Vec<_> = lines.iter().filter_map(|line| parse(&line.text)).collect();
        answers.sort_by_key(|answer| answer.begun_ns);
        answers
    }

    /// The first connection begun at `since_ns` or later that `wanted` answered.
    pub fn first(&self, wanted: &str, since_ns: u64) -> Result<Answer> {
        let fits = |answer: &Answer| answer.begun_ns >= since_ns && answer.who == wanted;
        until(TIMEOUT, &format!("an answer from {wanted}"), || {
            self.answers().into_iter().find(fits)
        })
        .with_context(|| format!("{:?}", self.answers().last()))
    }
}

fn parse(line: &str) -> Option<Answer> {
    let (begun, who) = line.split_once(' ')?;
    Some(Answer { begun_ns: begun.parse().ok()?, who: who.to_owned() })
}
