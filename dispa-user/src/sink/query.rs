//! What is asked of the traffic log, and what is answered.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::histogram::Histogram;
use crate::{exchange::Row, rules::Pattern};

/// Hosts or targets that are told apart; programs choose what they ask for, and memory is finite.
const MOST_GROUPS: usize = 10_000;

/// Where the rest of them is.
const OTHERS: &str = "(others)";

/// Which records are meant. The default: all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// Began at that time or later.
    pub since: Option<Timestamp>,
    /// Began before that time.
    pub until: Option<Timestamp>,
    /// Asked for such a host.
    pub host: Option<Pattern>,
    /// Were answered with a status in these bounds.
    pub status: Option<(u16, u16)>,
    /// Were made by a process of that name.
    pub process: Option<String>,
    /// Took longer.
    pub slower_than: Option<Duration>,
    /// By when the answer must be there.
    pub deadline: Option<Instant>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// No traffic log is written.
    #[error("no traffic log is written: [logging] does not ask for one")]
    NoLog,
    /// The files cannot be read.
    #[error("cannot read the traffic log in {}: {source}", directory.display())]
    Files {
        /// Where they are.
        directory: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The database does not answer.
    #[error("cannot read the traffic log in {place}: {reason}")]
    Database {
        /// Which.
        place: String,
        /// What it says.
        reason: String,
    },
    /// All connections that it may have are in use.
    #[error("too many ask for the traffic log at once")]
    Busy,
    /// There is too much to look through.
    #[error("it takes too long: ask for less, such as `--since 1h`")]
    TooLong,
}

impl Query {
    /// Whether a record is meant.
    #[must_use]
    pub fn fits(&self, row: &Row<'_>) -> bool {
        let in_time = self.since.is_none_or(|since| row.timestamp >= since)
            && self.until.is_none_or(|until| row.timestamp < until);
        let status = |(low, high): (u16, u16)| {
            row.status_code.is_some_and(|status| (low..=high).contains(&status))
        };
        let process = |name: &String| row.process.as_deref() == Some(name.as_str());
        in_time
            && self.status.is_none_or(status)
            && self.process.as_ref().is_none_or(process)
            && self.slower_than.is_none_or(|limit| row.duration_ms > limit.as_secs_f64() * 1e3)
            && self.host.as_ref().is_none_or(|host| matches(host, row.host.as_deref()))
    }

    /// An error where the deadline has passed.
    pub(super) fn in_time(&self) -> io::Result<()> {
        let is_late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if is_late { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

fn matches(pattern: &Pattern, host: Option<&str>) -> bool {
    match (pattern, host) {
        (_, None) => false,
        (Pattern::Exact(name), Some(host)) => name.as_str() == host,
        (Pattern::Wildcard(suffix), Some(host)) => host
            .strip_suffix(suffix.as_str())
            .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
    }
}

/// Some of the records that fit, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// The records.
    pub records: Vec<Row<'static>>,
    /// What to ask for those before these; none if these are the last.
    pub before: Option<Uuid>,
}

/// The newest of many records, as many as fit on a page.
#[derive(Debug)]
pub(super) struct Newest {
    records: BTreeMap<Reverse<Uuid>, Row<'static>>,
    before: Option<Uuid>,
    most: usize,
    is_full: bool,
}

impl Newest {
    /// `most` of those whose id comes before that one.
    pub(super) fn new(before: Option<Uuid>, most: usize) -> Self {
        Self { records: BTreeMap::new(), before, most, is_full: false }
    }

    pub(super) fn add(&mut self, row: Row<'static>) {
        if self.before.is_some_and(|before| row.id >= before) {
            return;
        }
        self.records.insert(Reverse(row.id), row);
        if self.records.len() > self.most {
            self.is_full = true;
            self.records.pop_last();
        }
    }

    /// When the oldest of a full page began: nothing older is needed.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let last = self.records.last_key_value().filter(|_| self.is_full)?;
        Some(last.1.timestamp)
    }

    pub(super) fn into_page(self) -> Page {
        let records: Vec<_> = self.records.into_values().collect();
        let before = records.last().map(|row| row.id).filter(|_| self.is_full);
        Page { records, before }
    }
}

/// How exchanges with one host, or through one target, went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// The host or the target; empty where there was none.
    pub name: String,
    /// How many.
    pub count: u64,
    /// Those that were errors ([`Row::is_error`]).
    pub errors: u64,
    /// The share that failed, from 0 to 1.
    pub error_rate: f64,
    /// Milliseconds that half of them took at most.
    pub p50_ms: f64,
    /// That 95 of 100 did.
    pub p95_ms: f64,
    /// That 99 of 100 did.
    pub p99_ms: f64,
}

/// By what exchanges are counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupBy {
    /// The host that was asked for.
    #[default]
    Host,
    /// The target that answered.
    Target,
}

/// Counts records as they come.
#[derive(Debug)]
pub(super) struct Tally {
    by: GroupBy,
    groups: BTreeMap<String, (u64, Histogram)>,
}

impl Tally {
    pub(super) const fn new(by: GroupBy) -> Self {
        Self { by, groups: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, row: &Row<'_>) {
        let name = match self.by {
            GroupBy::Host => row.host.as_deref(),
            GroupBy::Target => row.target.as_deref(),
        };
        let name = name.unwrap_or_default();
        let is_known = self.groups.contains_key(name) || self.groups.len() < MOST_GROUPS;
        let name = if is_known { name } else { OTHERS };
        let (errors, times) = self.groups.entry(name.to_owned()).or_default();
        *errors += u64::from(row.is_error());
        times.add(row.duration_ms);
    }

    /// The most asked for first.
    pub(super) fn into_stats(self) -> Vec<Stats> {
        let stats = |(name, (errors, times)): (String, (u64, Histogram))| {
            let count = times.count();
            let error_rate = exact(errors) / exact(count.max(1));
            let [p50_ms, p95_ms, p99_ms] = [50, 95, 99].map(|percent| times.percentile(percent));
            Stats { name, count, errors, error_rate, p50_ms, p95_ms, p99_ms }
        };
        let mut all: Vec<_> = self.groups.into_iter().map(stats).collect();
        all.sort_by_key(|it| Reverse(it.count));
        all
    }
}

/// Of counts below 2^53.
#[expect(clippy::cast_precision_loss, reason = "nobody counts that far")]
const fn exact(count: u64) -> f64 {
    count as f64
}
