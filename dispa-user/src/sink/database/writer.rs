//! The thread that writes into the database, whichever it is.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};

use super::{Database, DatabaseError, Purpose, place, spill::Spill};
use crate::{
    config::{LogContent, LogDatabase, TrafficLog},
    exchange::{Exchange, Row},
    life::Rarely,
    sink::{
        OpenError,
        accounts::{Fate, Reason},
        content,
        lines::Torn,
        present::Present,
        queue::{Batch, Queue, Watch},
    },
};

/// Records of one transaction.
const MOST: usize = 1_000;

/// Records that are removed at a time: a moment's work, and more than are added meanwhile.
const SLICE: u32 = 2_000;

/// How often it is looked for records that are due.
const RETAIN_EVERY: Duration = Duration::from_mins(10);

/// The pause before the first attempt to have the database back, and the longest one.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// How often people are told of the same trouble.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// What writes into the database.
#[derive(Debug)]
pub(in crate::sink) struct DatabaseSink {
    config: LogDatabase,
    content: LogContent,
    queue: Arc<Queue>,
    spill: Spill,
    database: Option<Database>,
    /// An attempt to have it back, which may hang.
    attempt: Option<JoinHandle<Result<Database, DatabaseError>>>,
    interval: Duration,
    retention: SignedDuration,
    present: Present,
    retain_at: Instant,
    retry_at: Instant,
    pause: Duration,
    warned: Rarely,
}

impl DatabaseSink {
    /// Opens the database and starts what writes into it.
    pub(in crate::sink) fn start(
        log: &TrafficLog,
        config: &LogDatabase,
        queue: &Arc<Queue>,
    ) -> Result<JoinHandle<()>, OpenError> {
        let refused = |error: DatabaseError| OpenError::Database {
            place: place(&config.url),
            reason: error.to_string(),
        };
        let mut database =
            Database::open(config, Purpose::Write, config.connection_timeout).map_err(refused)?;
        let newest = database.newest().map_err(refused)?;
        let unusable = |source| OpenError::File { path: config.spill_file.clone(), source };
        let spill = Spill::open(&config.spill_file, config.max_spill_size).map_err(unusable)?;
        let now = Instant::now();
        let retention = SignedDuration::from_hours(i64::from(log.retention_days) * 24);
        let mut sink = Self {
            config: config.clone(),
            content: log.content.clone(),
            queue: Arc::clone(queue),
            spill,
            database: Some(database),
            attempt: None,
            interval: log.flush_interval / 2,
            retention,
            present: Present::new(Timestamp::now(), now, newest, retention),
            retain_at: now,
            retry_at: now,
            pause: FIRST_RETRY,
            warned: Rarely::new(WARN_EVERY),
        };
        sink.take_spill().map_err(unusable)?;
        let watch = Watch::over(queue);
        let thread = thread::Builder::new().name("dispa-database".to_owned());
        let run = move || {
            let _watch = watch;
            sink.run();
        };
        thread.spawn(run).map_err(unusable)
    }

    fn run(mut self) {
        loop {
            if let Err(error) = self.take_spill()
                && self.warned.now(Instant::now())
            {
                let path = self.config.spill_file.display();
                tracing::warn!(%path, %error, "the spill file cannot be used");
            }
            let mut batch = self.queue.take(self.interval, MOST);
            while !batch.is_empty() {
                self.write(&mut batch);
            }
            self.load();
            self.retain();
            let deadline = self.queue.deadline();
            if deadline.is_some() && self.queue.is_empty() {
                break;
            }
        }
        if let Err(error) = self.spill.sync() {
            tracing::warn!(%error, "what was spilled may not be on the disk yet");
        }
    }

    /// Into the database; or, where that is away or others come first, into the spill file. What finds
    /// room in neither is still there afterwards.
    fn write(&mut self, batch: &mut Batch) {
        let content = self.content.clone();
        let exchanges: Vec<Arc<Exchange>> = batch.iter().cloned().collect();
        let rows: Vec<_> = exchanges.iter().map(|it| content::row(&content, it)).collect();
        if self.spill.is_empty() && self.reconnect() {
            match self.insert(&rows) {
                Ok(refused) => {
                    let queue = Arc::clone(&self.queue);
                    queue.settle(batch, refused, Fate::Dropped(Reason::Refused));
                    queue.settle(batch, usize::MAX, Fate::Written);
                    self.went_well();
                    return;
                }
                Err(why) => self.lose(&why),
            }
        }
        self.put_aside(batch, &rows);
    }

    /// Has the spill file, as soon as no other daemon does, with what that left in it.
    fn take_spill(&mut self) -> io::Result<()> {
        let left = self.spill.take()?;
        if left > 0 {
            tracing::info!(left, "what another run left in the spill file is loaded");
            self.queue.inherit(left);
        }
        Ok(())
    }

    fn put_aside(&mut self, batch: &mut Batch, rows: &[Row<'_>]) {
        let taken = self.take_spill().map_err(|error| Torn { lines: 0, error });
        let Err(torn) = taken.and_then(|()| self.spill.add(rows)) else {
            self.queue.settle(batch, usize::MAX, Fate::Spilled);
            return;
        };
        self.queue.settle(batch, torn.lines, Fate::Spilled);
        let now = Instant::now();
        if torn.is_of_the_record() {
            self.queue.settle(batch, 1, Fate::Dropped(Reason::Refused));
            return;
        }
        if self.queue.deadline().is_some_and(|deadline| now >= deadline) {
            self.queue.settle(batch, usize::MAX, Fate::Dropped(Reason::DatabaseAway));
            return;
        }
        if self.warned.now(now) {
            let path = self.config.spill_file.display();
            tracing::warn!(%path, error = %torn.error, "the database is away, and nothing can be spilled");
        }
        self.queue.stuck(Reason::DatabaseAway, torn.error.to_string());
        // Room is made by loading.
        self.load();
        if self.database.is_none() || !self.spill.is_empty() {
            self.queue.pause(self.interval);
        }
    }

    /// Adds records; of those that the database refuses, how many.
    fn insert(&mut self, rows: &[Row<'_>]) -> Result<usize, String> {
        let Some(database) = &mut self.database else { return Err("it is away".to_owned()) };
        match database.insert(rows) {
            Ok(()) => Ok(0),
            Err(DatabaseError::Away(why)) => Err(why),
            Err(DatabaseError::Refused(why)) if rows.len() <= 1 => {
                tracing::warn!(why, "the database refuses a record");
                Ok(rows.len())
            }
            // Some are refused: the rest is not to suffer.
            Err(DatabaseError::Refused(_)) => {
                rows.iter().map(|row| self.insert(std::slice::from_ref(row))).sum()
            }
        }
    }

    /// Moves records from the spill file to the database, for as long as the queue can wait.
    fn load(&mut self) {
        let begun = Instant::now();
        let patience = match self.queue.deadline() {
            Some(deadline) => deadline.saturating_duration_since(begun).min(self.interval),
            None => self.interval,
        };
        while !self.spill.is_empty() && begun.elapsed() < patience && self.reconnect() {
            if let Err(why) = self.load_some() {
                self.lose(&why);
            }
        }
    }

    fn load_some(&mut self) -> Result<(), String> {
        let unreadable = |error: io::Error| format!("the spill file cannot be read: {error}");
        let loaded = self.spill.first(MOST).map_err(unreadable)?;
        let refused = self.insert(&loaded.rows)?;
        let lost = loaded.broken.saturating_add(refused as u64);
        self.queue.settle_spilled(lost, Fate::Dropped(Reason::Refused));
        let written = loaded.rows.len().saturating_sub(refused);
        self.queue.settle_spilled(written as u64, Fate::Written);
        self.spill.done(&loaded).map_err(unreadable)?;
        if self.spill.is_empty() {
            tracing::info!("what was spilled is in the database");
        }
        self.went_well();
        Ok(())
    }

    /// Removes some of what is due, while nobody waits.
    fn retain(&mut self) {
        if Instant::now() < self.retain_at || self.queue.deadline().is_some() {
            return;
        }
        let Some(database) = &mut self.database else { return };
        let now = self.present.now(Timestamp::now(), Instant::now());
        let before = now.checked_sub(self.retention).unwrap_or(Timestamp::MIN);
        match database.remove(before, SLICE) {
            // There may be more: at the next turn.
            Ok(count) if count >= u64::from(SLICE) => {}
            Ok(_) => self.retain_at = Instant::now() + RETAIN_EVERY,
            Err(error) => {
                self.retain_at = Instant::now() + RETAIN_EVERY;
                self.lose(&error.to_string());
            }
        }
    }

    /// Whether the database is there, or there again. Attempts are made on a thread of their own, so
    /// that records are spilled however long one takes.
    fn reconnect(&mut self) -> bool {
        if self.database.is_some() {
            return true;
        }
        match self.attempt.take() {
            Some(attempt) if attempt.is_finished() => match attempt.join() {
                Ok(Ok(database)) => self.database = Some(database),
                Ok(Err(error)) => self.lose(&error.to_string()),
                Err(_) => self.lose("connecting ended in a panic"),
            },
            Some(attempt) => self.attempt = Some(attempt),
            None if Instant::now() >= self.retry_at => self.try_again(),
            None => {}
        }
        self.database.is_some()
    }

    fn try_again(&mut self) {
        let config = self.config.clone();
        let open = move || Database::open(&config, Purpose::Write, config.connection_timeout);
        match thread::Builder::new().name("dispa-reconnect".to_owned()).spawn(open) {
            Ok(attempt) => self.attempt = Some(attempt),
            Err(error) => self.lose(&error.to_string()),
        }
    }

    /// It is away; the next attempt is made after a pause.
    fn lose(&mut self, why: &str) {
        self.database = None;
        let now = Instant::now();
        self.retry_at = now + self.pause;
        self.pause = (self.pause * 2).min(LAST_RETRY);
        self.queue.stuck(Reason::DatabaseAway, why.to_owned());
        if self.warned.now(now) {
            let place = place(&self.config.url);
            tracing::warn!(place, why, "the traffic log's database is away");
        }
    }

    fn went_well(&mut self) {
        self.pause = FIRST_RETRY;
        if self.queue.unstuck() {
            tracing::info!("the traffic log's database is written again");
        }
    }
}

#[cfg(test)]
mod tests;
