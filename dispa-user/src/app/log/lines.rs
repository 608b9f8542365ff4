//! Where lines are written to: straight to their end, or through a queue that a thread empties.

use std::{
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait to be written; more are dropped.
const QUEUE: usize = 16_384;

/// The end that all lines go to.
#[derive(Clone)]
pub(super) struct Lines(Arc<Ways>);

struct Ways {
    /// Taken by the thread.
    end: Mutex<Option<Box<dyn Write + Send>>>,
    queue: OnceLock<NonBlocking>,
}

/// For one line.
pub(super) enum Line {
    Queued(NonBlocking),
    Straight(Lines),
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lines")
    }
}

impl Lines {
    pub(super) fn to(end: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Ways { end: Mutex::new(Some(Box::new(end))), queue: OnceLock::new() }))
    }

    /// Has a thread write from now on, which writes what waits when the guard is dropped; `None` where one
    /// does already.
    pub(super) fn start_thread(&self) -> Option<WorkerGuard> {
        let mut end = self.0.end.lock().unwrap_or_else(PoisonError::into_inner);
        let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(QUEUE);
        let (queue, guard) = builder.thread_name("dispa-log").finish(end.take()?);
        // Nobody else sets it: who does has the end.
        let _ = self.0.queue.set(queue);
        Some(guard)
    }

    /// How many lines the queue had no room for.
    pub(super) fn dropped(&self) -> Option<ErrorCounter> {
        self.0.queue.get().map(NonBlocking::error_counter)
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        match self.0.queue.get() {
            Some(queue) => Line::Queued(queue.clone()),
            None => Line::Straight(self.clone()),
        }
    }
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self {
            Self::Queued(queue) => queue.write(line),
            Self::Straight(lines) => {
                let mut end = lines.0.end.lock().unwrap_or_else(PoisonError::into_inner);
                match &mut *end {
                    Some(end) => end.write_all(line).map(|()| line.len()),
                    // The thread has just been started.
                    None => lines.0.queue.get().cloned().map_or(Ok(0), |mut it| it.write(line)),
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
