//! The application log: on standard error, text for people or JSON for machines.

use std::io::{self, IsTerminal};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Format, Level, Logging};

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
#[must_use]
pub fn start_log(logging: &Logging, level: Option<&str>) -> Log {
    let level = level.unwrap_or_else(|| name(logging.level));
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(directives(level)));
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(QUEUE)
        .thread_name("dispa-log")
        .finish(io::stderr());
    let dropped = writer.error_counter();
    let builder = fmt().with_env_filter(filter).with_target(false).with_writer(writer);
    match logging.format {
        Format::Text => builder.with_ansi(colours(&io::stderr())).init(),
        Format::Json => builder.json().flatten_event(true).with_current_span(false).init(),
    }
    Log { _writer: guard, dropped }
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
