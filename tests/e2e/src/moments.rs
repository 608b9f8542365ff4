//! Who answers at which moment: a probe in the cgroup, read by a test.

use std::{collections::BTreeSet, ops::Range, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use dispa_lab::Process;
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

    /// The first answer from `wanted` to a connection begun at `since_ns` or later.
    pub fn first(&self, wanted: &str, since_ns: u64) -> Result<Answer> {
        let fits = |text: &str| {
            parse(text).filter(|answer| answer.begun_ns >= since_ns && answer.who == wanted)
        };
        let line = self.0.wait_for_line(TIMEOUT, |line| fits(&line.text).is_some())?;
        fits(&line.text).context("the line awaited is an answer")
    }

    /// Begins no more connections, and waits for the answers to those under way.
    pub fn end(self) -> Result<Answers> {
        let output = self.0.finish(TIMEOUT)?.success()?;
        Ok(Answers(output.lines().filter_map(parse).collect()))
    }
}

/// All that a probe has heard.
#[derive(Debug)]
pub struct Answers(Vec<Answer>);

impl Answers {
    /// How many there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// How many came from `who`.
    #[must_use]
    pub fn of(&self, who: &str) -> usize {
        self.0.iter().filter(|answer| answer.who == who).count()
    }

    /// Who answered the connections begun in this time, each name once, in alphabetical order.
    #[must_use]
    pub fn who(&self, moments_ns: Range<u64>) -> Vec<&str> {
        let within = self.0.iter().filter(|answer| moments_ns.contains(&answer.begun_ns));
        let names: BTreeSet<_> = within.map(|answer| answer.who.as_str()).collect();
        names.into_iter().collect()
    }

    /// How many of all were answered by `who`.
    #[must_use]
    pub fn by(&self, who: &str) -> usize {
        self.0.iter().filter(|answer| answer.who == who).count()
    }
}

fn parse(line: &str) -> Option<Answer> {
    let (begun, who) = line.split_once(' ')?;
    Some(Answer { begun_ns: begun.parse().ok()?, who: who.to_owned() })
}
