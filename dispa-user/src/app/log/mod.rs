//! The application log: on standard error or in a file, text for people or JSON for machines.

mod journal;
mod rotated;

use std::io::{self, IsTerminal, Write};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, fmt};

use super::StartError;
use crate::config::{Format, Level, Logging, Output};
use journal::Journal;
use rotated::Rotated;

/// Lines that may wait to be written; more are dropped, for whoever reads the log must never hold up
/// traffic.
const QUEUE: usize = 16_384;

/// Writes what still waits when it is dropped.
#[derive(Debug)]
pub struct Log {
    _writer: WorkerGuard,
    dropped: ErrorCounter,
}

/// Starts the log. `RUST_LOG` wins over `level`, which wins over the configuration's.
pub fn start_log(logging: &Logging, level: Option<&str>) -> Result<Log, StartError> {
    let level = level.unwrap_or_else(|| name(logging.level));
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(directives(level)));
    let console = logging.output == Output::Console;
    let (writer, guard) = match &logging.output {
        Output::Console => queue(io::stderr()),
        Output::File(path) => {
            queue(Rotated::open(path).map_err(StartError::system("open the log's file"))?)
        }
    };
    let dropped = writer.error_counter();
    let builder = fmt().with_env_filter(filter).with_target(false).with_writer(writer);
    match logging.format {
        Format::Text if console && journal::reads_stderr() => {
            builder.with_ansi(false).event_format(Journal::default()).init();
        }
        Format::Text => builder.with_ansi(console && colours(&io::stderr())).init(),
        Format::Json => builder.json().flatten_event(true).with_current_span(false).init(),
    }
    Ok(Log { _writer: guard, dropped })
}

/// A thread of its own writes.
fn queue(writer: impl Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(QUEUE)
        .thread_name("dispa-log")
        .finish(writer)
}

impl Log {
    /// Tells how many lines were dropped, as long as anybody asks.
    #[must_use]
    pub fn dropped_lines(&self) -> ErrorCounter {
        self.dropped.clone()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let dropped = self.dropped.dropped_lines();
        if dropped > 0 {
            tracing::warn!(dropped, "log lines were dropped: nobody read them fast enough");
        }
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}

/// Ours at `level`; libraries speak up only when something is wrong.
fn directives(level: &str) -> String {
    format!("warn,dispa={level},dispa_user={level}")
}

/// Colours are for terminals, and for those who did not decline them (<https://no-color.org>).
#[must_use]
pub fn colours(out: &impl IsTerminal) -> bool {
    out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
