//! The application log: on standard error or in a file, text for people or JSON for machines.
//!
//! At first lines are written by whoever says them; a thread of their own writes them once there may be
//! threads, for whoever reads the log must never hold up traffic.

mod journal;
mod lines;
mod rotated;

use std::io::{self, IsTerminal};

use tracing_appender::non_blocking::{ErrorCounter, WorkerGuard};
use tracing_subscriber::{EnvFilter, fmt};

use super::StartError;
use crate::config::{Format, Level, Logging, Output};
use journal::Journal;
use lines::Lines;
use rotated::Rotated;

/// Writes what still waits when it is dropped.
#[derive(Debug)]
pub struct Log {
    lines: Lines,
    /// The thread that writes, once there is one.
    writer: Option<WorkerGuard>,
}

/// Starts the log. `RUST_LOG` wins over `level`, which wins over the configuration's.
pub fn start_log(logging: &Logging, level: Option<&str>) -> Result<Log, StartError> {
    let level = level.unwrap_or_else(|| name(logging.level));
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(directives(level)));
    let console = logging.output == Output::Console;
    let lines = match &logging.output {
        Output::Console => Lines::to(io::stderr()),
        Output::File(path) => {
            Lines::to(Rotated::open(path).map_err(StartError::system("open the log's file"))?)
        }
    };
    let builder = fmt().with_env_filter(filter).with_target(false).with_writer(lines.clone());
    match logging.format {
        Format::Text if console && journal::reads_stderr() => {
            builder.with_ansi(false).event_format(Journal::default()).init();
        }
        Format::Text => builder.with_ansi(console && colours(&io::stderr())).init(),
        Format::Json => builder.json().flatten_event(true).with_current_span(false).init(),
    }
    Ok(Log { lines, writer: None })
}

impl Log {
    /// From now on a thread of its own writes.
    pub fn start_thread(&mut self) {
        self.writer = self.lines.start_thread();
    }

    /// Tells how many lines were dropped, as long as anybody asks; none are where no thread writes.
    #[must_use]
    pub fn dropped_lines(&self) -> Option<ErrorCounter> {
        self.lines.dropped()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let dropped = self.dropped_lines().map_or(0, |counter| counter.dropped_lines());
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
