//! Lines for systemd's journal, which has the time of each by itself and takes its priority from a prefix
//! (sd-daemon(3)).

use std::{env, fmt, fs, os::unix::fs::MetadataExt as _};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{self, Full, Writer},
    },
    registry::LookupSpan,
};

/// Whether standard error leads to the journal: `JOURNAL_STREAM` names what it did when the service was
/// started (systemd.exec(5)), but may have been inherited by one whose own leads elsewhere.
pub(super) fn reads_stderr() -> bool {
    let named = env::var("JOURNAL_STREAM").unwrap_or_default();
    let Ok(stderr) = fs::metadata("/proc/self/fd/2") else { return false };
    named == format!("{}:{}", stderr.dev(), stderr.ino())
}

/// A line without its time, and with its level as the journal writes it.
pub(super) struct Journal(format::Format<Full, ()>);

impl Default for Journal {
    fn default() -> Self {
        Self(format::format().without_time().with_target(false).with_level(false))
    }
}

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::Journal;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("whole").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_has_its_priority_and_no_time() {
        let page = Page::default();
        let writer = page.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .event_format(Journal::default())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target = "one", "unhealthy");
            tracing::error!("worse");
        });
        let text = String::from_utf8(page.0.lock().expect("whole").clone()).expect("text");
        assert_eq!(text, "<4>unhealthy target=\"one\"\n<3>worse\n");
    }
}
