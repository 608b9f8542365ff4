//! The accounts of one sink. They balance at every moment:
//! observed = written + queued + spilled + dropped, by whatever reason.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// What became of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// They are where they belong.
    Written,
    /// They wait in the spill file for the database to come back.
    Spilled,
    /// They are gone.
    Dropped(Reason),
}

/// Why a record was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The sink was too slow.
    QueueFull,
    /// The queue filled up, for the disk was full.
    DiskFull,
    /// The queue filled up, for the file could not be written.
    WriteFailed,
    /// The queue filled up, for the database was away and the spill file full or not to be written.
    DatabaseAway,
    /// The database takes all others, but not this one.
    Refused,
    /// There was no time left at the stop.
    Stopped,
    /// The sink's thread ended in a panic.
    Panicked,
}

impl Reason {
    const ALL: [Self; 7] = [
        Self::QueueFull,
        Self::DiskFull,
        Self::WriteFailed,
        Self::DatabaseAway,
        Self::Refused,
        Self::Stopped,
        Self::Panicked,
    ];

    /// The label that status, log and metrics share.
    const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::DiskFull => "disk_full",
            Self::WriteFailed => "write_failed",
            Self::DatabaseAway => "database_away",
            Self::Refused => "refused",
            Self::Stopped => "stopped",
            Self::Panicked => "panicked",
        }
    }
}

/// The counts behind the accounts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    observed: u64,
    written: u64,
    queued: u64,
    spilled: u64,
    dropped: [u64; Reason::ALL.len()],
}

impl Counts {
    /// One more has come, and waits.
    pub(super) fn admit(&mut self) {
        self.observed += 1;
        self.queued += 1;
    }

    /// One more has come, and found no room.
    pub(super) fn turn_away(&mut self, reason: Reason) {
        self.observed += 1;
        self.add(1, Fate::Dropped(reason));
    }

    /// An earlier run left these in the spill file.
    pub(super) fn inherit(&mut self, count: u64) {
        self.observed += count;
        self.spilled += count;
    }

    /// So many of those that wait wait no more.
    pub(super) fn settle(&mut self, count: u64, fate: Fate) {
        let count = count.min(self.queued);
        self.queued -= count;
        self.add(count, fate);
    }

    /// So many of those in the spill file are there no more.
    pub(super) fn settle_spilled(&mut self, count: u64, fate: Fate) {
        let count = count.min(self.spilled);
        self.spilled -= count;
        self.add(count, fate);
    }

    /// Whatever waits is lost.
    pub(super) fn give_up(&mut self, reason: Reason) {
        self.settle(self.queued, Fate::Dropped(reason));
    }

    fn add(&mut self, count: u64, fate: Fate) {
        match fate {
            Fate::Written => self.written += count,
            Fate::Spilled => self.spilled += count,
            Fate::Dropped(reason) => {
                let kinds = Reason::ALL.iter().zip(&mut self.dropped);
                kinds.filter(|(it, _)| **it == reason).for_each(|(_, dropped)| *dropped += count);
            }
        }
    }
}

/// The accounts of one sink at one moment, in records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounts {
    /// `file` or `database`.
    pub sink: String,
    /// Where it writes.
    pub place: String,
    /// All that came, and what an earlier run had left in the spill file.
    pub observed: u64,
    /// Where they belong.
    pub written: u64,
    /// On their way, in memory.
    pub queued: u64,
    /// In the spill file, for a database that is away.
    pub spilled: u64,
    /// Gone, by reason; reasons that never applied are left out.
    pub dropped: BTreeMap<String, u64>,
    /// What is wrong at the moment.
    pub trouble: Option<String>,
}

impl Accounts {
    pub(super) fn of(sink: &str, place: &str, counts: &Counts, trouble: Option<String>) -> Self {
        let dropped = Reason::ALL.iter().zip(counts.dropped).filter(|(_, count)| *count > 0);
        Self {
            sink: sink.to_owned(),
            place: place.to_owned(),
            observed: counts.observed,
            written: counts.written,
            queued: counts.queued,
            spilled: counts.spilled,
            dropped: dropped.map(|(reason, count)| (reason.name().to_owned(), count)).collect(),
            trouble,
        }
    }

    /// How many are gone for each reason there can be.
    pub fn dropped_by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let count = |name| self.dropped.get(name).copied().unwrap_or_default();
        Reason::ALL.into_iter().map(move |reason| (reason.name(), count(reason.name())))
    }

    /// How many are gone, whatever the reason.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Whether every record is accounted for.
    #[must_use]
    pub fn balance(&self) -> bool {
        self.observed == self.written + self.queued + self.spilled + self.dropped()
    }
}

impl fmt::Display for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sink, place, observed, written, queued, spilled, dropped, trouble } = self;
        write!(f, "{sink} {place}: {observed} observed = {written} written + {queued} queued")?;
        write!(f, " + {spilled} spilled + {} dropped", self.dropped())?;
        if !dropped.is_empty() {
            let reasons = dropped.iter().map(|(reason, count)| format!("{count} {reason}"));
            write!(f, " ({})", reasons.collect::<Vec<_>>().join(", "))?;
        }
        match trouble {
            Some(trouble) => write!(f, "; {trouble}"),
            None => Ok(()),
        }
    }
}
