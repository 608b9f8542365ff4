//! The traffic log: every exchange written down, in files, in a database, or in both.
//!
//! Floor 4; knows nothing of proxy or state. [`TrafficLog::observe`] never waits: it puts the exchange
//! itself into a bounded queue for each sink. A thread of each sink takes it from there, makes a row of
//! it, and writes. What becomes of every record is in its [`Accounts`].

mod accounts;
mod content;
mod database;
mod file;
mod histogram;
mod lines;
mod present;
mod query;
mod queue;
mod search;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName};

use crate::{
    config::{self, LogContent},
    exchange::Exchange,
};
use accounts::Reason;
use database::DatabaseSink;
use file::FileSink;
use queue::Queue;

pub use accounts::Accounts;
pub use query::{GroupBy, Page, Query, Stats, Unanswered};
pub use search::Reader;

/// How often it is looked whether the sinks have ended.
const LOOK: Duration = Duration::from_millis(5);

/// Where every exchange is written down.
#[derive(Debug)]
pub struct TrafficLog {
    content: LogContent,
    sinks: Vec<Sink>,
    reader: Arc<Reader>,
}

/// A queue, and the thread that empties it.
#[derive(Debug)]
struct Sink {
    name: &'static str,
    place: String,
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Why there can be no traffic log.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file or directory cannot be written.
    #[error("the traffic log cannot be written to {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The database cannot be used.
    #[error("the traffic log's database {place} cannot be used: {reason}")]
    Database {
        /// Its path or its server.
        place: String,
        /// What it says.
        reason: String,
    },
}

impl TrafficLog {
    /// Opens what the configuration asks for, and starts what writes into it. Waits for the database.
    pub fn open(config: &config::TrafficLog) -> Result<Arc<Self>, OpenError> {
        let mut sinks = Vec::new();
        if let Some(files) = &config.file {
            let queue = Queue::new(config.max_queue_size);
            let thread = FileSink::start(config, files, &queue)
                .map_err(|source| OpenError::File { path: files.directory.clone(), source })?;
            sinks.push(Sink::new("file", files.directory.display().to_string(), queue, thread));
        }
        if let Some(database) = &config.database {
            let queue = Queue::new(config.max_queue_size);
            let thread = DatabaseSink::start(config, database, &queue)?;
            sinks.push(Sink::new("database", database::place(&database.url), queue, thread));
        }
        let (content, reader) = (config.content.clone(), Arc::new(Reader::new(config)));
        Ok(Arc::new(Self { content, sinks, reader }))
    }

    /// Writes it down, sooner or later. Never waits.
    pub fn observe(&self, exchange: &Arc<Exchange>) {
        for sink in &self.sinks {
            sink.queue.push(exchange);
        }
    }

    /// Those of a request's fields that are to be written down, without secrets.
    #[must_use]
    pub fn written_fields(&self, fields: &HeaderMap) -> Vec<(HeaderName, Box<[u8]>)> {
        if self.content.headers.is_empty() {
            return Vec::new();
        }
        content::fields(&self.content, fields)
    }

    /// What became of every record, for each sink.
    #[must_use]
    pub fn accounts(&self) -> Vec<Accounts> {
        self.sinks.iter().map(|it| it.queue.accounts(it.name, &it.place)).collect()
    }

    /// Writes what waits at once, into the files that have the right names by now.
    pub fn reopen(&self) {
        for sink in &self.sinks {
            sink.queue.poke();
        }
    }

    /// What answers questions about it.
    #[must_use]
    pub const fn reader(&self) -> &Arc<Reader> {
        &self.reader
    }

    /// Writes what waits and ends, by that time at the latest. What is not where it belongs by then, nor
    /// in the spill file, is lost, and counted as such. Nothing may be observed any more. Blocks.
    pub fn close(&self, deadline: Instant) {
        for sink in &self.sinks {
            sink.queue.close(deadline);
        }
        for sink in &self.sinks {
            sink.end(deadline);
        }
    }
}

impl Sink {
    fn new(name: &'static str, place: String, queue: Arc<Queue>, thread: JoinHandle<()>) -> Self {
        Self { name, place, queue, thread: Mutex::new(Some(thread)) }
    }

    /// Waits for its thread, but not for ever: what it does may hang.
    fn end(&self, deadline: Instant) {
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        while !thread.is_finished() && Instant::now() < deadline {
            thread::sleep(LOOK);
        }
        self.queue.give_up(Reason::Stopped);
    }
}

impl Drop for TrafficLog {
    /// A log that nobody closed has its threads end all the same.
    fn drop(&mut self) {
        for sink in &self.sinks {
            sink.queue.close(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
