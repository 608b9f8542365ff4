//! Answers questions about the traffic log, whether a daemon writes it or not.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use uuid::Uuid;

use super::{
    database::{Database, DatabaseError, Purpose, place},
    file,
    query::{GroupBy, Newest, Page, Query, Stats, Tally, Unanswered},
};
use crate::{
    config::{self, LogDatabase},
    exchange::Row,
};

/// Records of a database that are looked at at a time.
const PIECE: usize = 5_000;

/// Reads the log that a configuration asks for: the database, if there is one, else the files.
#[derive(Debug)]
pub struct Reader {
    source: Source,
    /// Connections to the database that are in use.
    connections: AtomicU32,
}

#[derive(Debug)]
enum Source {
    Files(PathBuf),
    Database(Box<LogDatabase>),
    Nothing,
}

impl Reader {
    /// For the log that this configuration asks for.
    #[must_use]
    pub fn new(config: &config::TrafficLog) -> Self {
        let source = match (&config.database, &config.file) {
            (Some(database), _) => Source::Database(Box::new(database.clone())),
            (None, Some(files)) => Source::Files(files.directory.clone()),
            (None, None) => Source::Nothing,
        };
        Self { source, connections: AtomicU32::new(0) }
    }

    /// The newest records that fit, `most` of them, with ids before that one. Blocks.
    pub fn page(
        &self,
        query: &Query,
        before: Option<Uuid>,
        most: usize,
    ) -> Result<Page, Unanswered> {
        let mut newest = Newest::new(before, most);
        match &self.source {
            Source::Nothing => return Err(Unanswered::NoLog),
            Source::Files(directory) => {
                let newest = std::cell::RefCell::new(&mut newest);
                let is_needed =
                    |written: Option<jiff::Timestamp>| match (newest.borrow().oldest(), written) {
                        (Some(oldest), Some(written)) => written >= oldest,
                        _ => true,
                    };
                file::read::scan(directory, query, |row| newest.borrow_mut().add(row), is_needed)?;
            }
            Source::Database(database) => {
                // One more tells whether there are more.
                let more = most.saturating_add(1);
                let rows = self.ask(database, query, |it| it.page(query, before, more))?;
                for row in rows {
                    newest.add(row);
                }
            }
        }
        Ok(newest.into_page())
    }

    /// How the exchanges that fit went, by host or by target. Blocks.
    pub fn stats(&self, query: &Query, by: GroupBy) -> Result<Vec<Stats>, Unanswered> {
        let mut tally = Tally::new(by);
        match &self.source {
            Source::Nothing => return Err(Unanswered::NoLog),
            Source::Files(directory) => {
                file::read::scan(directory, query, |row| tally.add(&row), |_| true)?;
            }
            Source::Database(database) => {
                let all = self.ask(database, query, |it| tally_all(it, query, &mut tally))?;
                all.map_err(|_| Unanswered::TooLong)?;
            }
        }
        Ok(tally.into_stats())
    }

    /// Asks the database over a connection of its own, if there may be one more. The writer has one.
    fn ask<T>(
        &self,
        config: &LogDatabase,
        query: &Query,
        question: impl FnOnce(&mut Database) -> Result<T, DatabaseError>,
    ) -> Result<T, Unanswered> {
        let most = config.max_connections.saturating_sub(1);
        let one_more = |open: u32| (open < most).then_some(open + 1);
        self.connections
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .map_err(|_| Unanswered::Busy)?;
        let left =
            query.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let patience =
            left.map_or(config.connection_timeout, |it| it.min(config.connection_timeout));
        let answer =
            Database::open(config, Purpose::Read, patience).and_then(|mut it| question(&mut it));
        self.connections.fetch_sub(1, Ordering::Relaxed);
        answer.map_err(|error| match query.in_time() {
            Err(_) => Unanswered::TooLong,
            Ok(()) => Unanswered::Database { place: place(&config.url), reason: error.to_string() },
        })
    }
}

/// Counts page by page, so that nobody has to hold them all.
fn tally_all(
    database: &mut Database,
    query: &Query,
    tally: &mut Tally,
) -> Result<std::io::Result<()>, DatabaseError> {
    let mut before = None;
    loop {
        if let Err(late) = query.in_time() {
            return Ok(Err(late));
        }
        let rows: Vec<Row<'static>> = database.page(query, before, PIECE)?;
        for row in &rows {
            tally.add(row);
        }
        match rows.last() {
            Some(last) if rows.len() >= PIECE => before = Some(last.id),
            _ => return Ok(Ok(())),
        }
    }
}
