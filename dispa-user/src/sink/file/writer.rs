//! The thread that writes the files.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{archive::Archive, days::Days};
use crate::{
    config::{LogContent, LogFiles, TrafficLog},
    exchange::Exchange,
    life::Rarely,
    sink::{
        accounts::{Fate, Reason},
        content,
        lines::Torn,
        queue::{Batch, Queue},
    },
};

/// Records that are taken at a time.
const MOST: usize = 4_096;

/// Bytes that are written at a time.
const CHUNK: usize = 256 * 1024;

/// The pause after a write that failed.
const RETRY: Duration = Duration::from_secs(1);

/// How often people are told of the same trouble.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// What writes the files.
#[derive(Debug)]
pub(in crate::sink) struct FileSink {
    days: Days,
    queue: Arc<Queue>,
    content: LogContent,
    interval: Duration,
    directory: PathBuf,
    /// Tells the archive that files are done.
    turned: mpsc::SyncSender<()>,
    text: Vec<u8>,
    warned: Rarely,
}

impl FileSink {
    /// Opens today's file and starts what writes it.
    pub(in crate::sink) fn start(
        log: &TrafficLog,
        files: &LogFiles,
        queue: &Arc<Queue>,
    ) -> io::Result<JoinHandle<()>> {
        let days = Days::open(files, Timestamp::now())?;
        let (turned, hears) = mpsc::sync_channel(1);
        let archive = Archive::new(files, log.retention_days, days.current());
        thread::Builder::new()
            .name("dispa-archive".to_owned())
            .spawn(move || archive.run(&hears))?;
        let sink = Self {
            days,
            queue: Arc::clone(queue),
            content: log.content.clone(),
            interval: log.flush_interval / 2,
            directory: files.directory.clone(),
            turned,
            text: Vec::with_capacity(CHUNK),
            warned: Rarely::new(WARN_EVERY),
        };
        thread::Builder::new().name("dispa-traffic".to_owned()).spawn(move || sink.run())
    }

    fn run(mut self) {
        loop {
            let mut batch = self.queue.take(self.interval, MOST);
            while !batch.is_empty() {
                self.write(&mut batch);
            }
            let deadline = self.queue.deadline();
            if deadline.is_some() && self.queue.is_empty() {
                break;
            }
        }
        if let Err(error) = self.days.sync() {
            tracing::warn!(%error, "the traffic log may not be on the disk yet");
        }
    }

    /// As much of it as can be; after a failure, and a pause, what is left is still there.
    fn write(&mut self, batch: &mut Batch) {
        let (written, failure) = match self.append(batch) {
            Ok(count) => (count, None),
            Err(Torn { lines, error }) => (lines, Some(error)),
        };
        self.queue.settle(batch, written, Fate::Written);
        if self.days.take_turned() {
            // If it has not heard of the last one yet it will look at both.
            let _ = self.turned.try_send(());
        }
        match failure {
            Some(error) => self.fail(batch, &error),
            None if self.queue.unstuck() => tracing::info!("the traffic log is written again"),
            None => {}
        }
    }

    fn fail(&self, batch: &mut Batch, error: &io::Error) {
        let reason = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Reason::DiskFull,
            _ => Reason::WriteFailed,
        };
        let now = Instant::now();
        if self.warned.now(now) {
            let directory = self.directory.display();
            tracing::warn!(%directory, %error, "the traffic log cannot be written");
        }
        if self.queue.deadline().is_some_and(|deadline| now >= deadline) {
            self.queue.settle(batch, usize::MAX, Fate::Dropped(reason));
            return;
        }
        self.queue.stuck(reason, error.to_string());
        self.queue.pause(RETRY);
    }

    /// Writes all of it, file after file; how many records, or how many before it failed.
    fn append(&mut self, batch: &Batch) -> Result<usize, Torn> {
        let mut written = 0;
        let failed = |error| Torn { lines: 0, error };
        self.days.look(Timestamp::now()).map_err(failed)?;
        self.text.clear();
        let mut waiting = 0;
        for exchange in batch.iter() {
            let begin = self.text.len();
            line(&mut self.text, &self.content, exchange);
            let has_room = self.text.len() as u64 <= self.days.room();
            let is_first = begin == 0 && self.days.is_empty();
            if !has_room && !is_first {
                self.put(begin).map_err(|torn| torn.after(written))?;
                written += waiting;
                waiting = 0;
                self.days.turn().map_err(|error| Torn { lines: written, error })?;
            }
            waiting += 1;
            if self.text.len() >= CHUNK {
                self.put(self.text.len()).map_err(|torn| torn.after(written))?;
                written += waiting;
                waiting = 0;
            }
        }
        self.put(self.text.len()).map_err(|torn| torn.after(written))?;
        Ok(written + waiting)
    }

    /// Writes the text as far as there, and keeps the rest of it.
    fn put(&mut self, end: usize) -> Result<(), Torn> {
        let put = self.days.append(self.text.get(..end).unwrap_or_default());
        self.text.drain(..end.min(self.text.len()));
        put
    }
}

impl Torn {
    /// Others had been written before.
    fn after(self, written: usize) -> Self {
        Self { lines: self.lines.saturating_add(written), error: self.error }
    }
}

/// Adds the line of an exchange.
fn line(text: &mut Vec<u8>, content: &LogContent, exchange: &Exchange) {
    let begin = text.len();
    if serde_json::to_writer(&mut *text, &content::row(content, exchange)).is_err() {
        // A row is numbers and strings: there is nothing in it that JSON has no form for.
        text.truncate(begin);
    }
    text.push(b'\n');
}

#[cfg(test)]
mod tests;
