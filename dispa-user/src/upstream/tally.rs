//! What dispa itself counts for a backend.

use std::sync::atomic::{AtomicU64, Ordering};

use std::time::Duration;

use super::Worth;
use crate::metrics::Latency;

/// Counts since the backend was first configured. Shared by all threads.
#[derive(Debug, Default)]
pub(super) struct Tally {
    good: AtomicU64,
    errors: AtomicU64,
    failures: AtomicU64,
    opened: AtomicU64,
    unopened: AtomicU64,
    taken: AtomicU64,
    ejections: AtomicU64,
    ups: AtomicU64,
    downs: AtomicU64,
    pub(super) answers: Latency,
}

/// What dispa counted for a backend until one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Exchanges that were answered well.
    pub good: u64,
    /// Exchanges that were answered with an error of the server's (5xx).
    pub errors: u64,
    /// Exchanges that failed by its fault, 502 to 504 included.
    pub failures: u64,
    /// Connections that were made.
    pub opened: u64,
    /// Connections that could not be made.
    pub unopened: u64,
    /// Requests and connections that it was to have, each attempt.
    pub taken: u64,
    /// How often it was ejected.
    pub ejections: u64,
    /// How often probes found it well again.
    pub ups: u64,
    /// How often probes found it unwell.
    pub downs: u64,
}

/// An attempt to connect. Dropped before it has succeeded, it has failed.
#[derive(Debug)]
pub(super) struct Attempt<'t> {
    tally: &'t Tally,
    succeeded: bool,
}

impl Attempt<'_> {
    pub(super) fn succeeds(&mut self) {
        self.succeeded = true;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let count = if self.succeeded { &self.tally.opened } else { &self.tally.unopened };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Tally {
    pub(super) fn attempt(&self) -> Attempt<'_> {
        Attempt { tally: self, succeeded: false }
    }

    pub(super) fn taken(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ejected(&self) {
        self.ejections.fetch_add(1, Ordering::Relaxed);
    }

    /// Probes changed their verdict.
    pub(super) fn changed(&self, up: bool) {
        let count = if up { &self.ups } else { &self.downs };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// An exchange with it ended so, its answer began after so long.
    pub(super) fn exchange(&self, took: Duration, worth: Worth) {
        if worth != Worth::Failure {
            self.answers.observe(took);
        }
        let count = match worth {
            Worth::Good => &self.good,
            Worth::Error => &self.errors,
            Worth::Failure => &self.failures,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn totals(&self) -> Totals {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Totals {
            good: of(&self.good),
            errors: of(&self.errors),
            failures: of(&self.failures),
            opened: of(&self.opened),
            unopened: of(&self.unopened),
            taken: of(&self.taken),
            ejections: of(&self.ejections),
            ups: of(&self.ups),
            downs: of(&self.downs),
        }
    }
}
