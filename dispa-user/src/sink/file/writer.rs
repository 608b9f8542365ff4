//! The thread that writes the files.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{self, TrySendError},
    },
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
        queue::{Batch, Queue, Watch},
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
        let archive = Archive::new(files, log.retention_days);
        let days = Days::open(files, Timestamp::now())?;
        let (turned, hears) = mpsc::sync_channel(1);
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
        let watch = Watch::over(queue);
        let run = move || {
            let _watch = watch;
            sink.run();
        };
        thread::Builder::new().name("dispa-traffic".to_owned()).spawn(run)
    }

    fn run(mut self) {
        loop {
            let mut batch = self.queue.take(self.interval, MOST);
            if batch.is_empty() {
                self.days.renew();
            }
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
        let appended = self.append(batch);
        self.days.release();
        let (written, failure) = match appended {
            Ok(count) => (count, None),
            Err(torn) => (torn.lines, Some(torn)),
        };
        self.queue.settle(batch, written, Fate::Written);
        if self.days.take_turned() {
            // If it has not heard of the last one yet it will look at both.
            let told = self.turned.try_send(());
            if matches!(told, Err(TrySendError::Disconnected(())))
                && self.warned.now(Instant::now())
            {
                tracing::error!(
                    "old files of the traffic log stay as they are: a thread has ended"
                );
            }
        }
        match failure {
            Some(torn) => self.fail(batch, &torn),
            None if self.queue.unstuck() => tracing::info!("the traffic log is written again"),
            None => {}
        }
    }

    fn fail(&self, batch: &mut Batch, torn: &Torn) {
        let Torn { error, .. } = torn;
        if torn.is_of_the_record() {
            tracing::warn!(%error, "a record cannot be written down");
            self.queue.settle(batch, 1, Fate::Dropped(Reason::Refused));
            return;
        }
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
        let now = Timestamp::now();
        self.days.hold(now).map_err(failed)?;
        self.text.clear();
        let mut waiting = 0;
        for exchange in batch.iter() {
            let begin = self.text.len();
            if let Err(error) = line(&mut self.text, &self.content, exchange) {
                self.put(begin).map_err(|torn| torn.after(written))?;
                return Err(Torn { lines: written + waiting, error });
            }
            if self.text.len() as u64 > self.days.room() && (begin > 0 || !self.days.is_empty()) {
                self.put(begin).map_err(|torn| torn.after(written))?;
                written += waiting;
                waiting = 0;
                self.turn(now).map_err(|error| Torn { lines: written, error })?;
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

    /// Begins another file, which another daemon may have filled meanwhile.
    fn turn(&mut self, now: Timestamp) -> io::Result<()> {
        while !self.days.is_empty() && self.text.len() as u64 > self.days.room() {
            self.days.turn(now)?;
        }
        Ok(())
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
fn line(text: &mut Vec<u8>, content: &LogContent, exchange: &Exchange) -> io::Result<()> {
    let begin = text.len();
    if let Err(error) = serde_json::to_writer(&mut *text, &content::row(content, exchange)) {
        text.truncate(begin);
        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
    }
    text.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests;
