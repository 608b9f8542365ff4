//! `dispa tail`: exchanges as they end.

use std::{fmt::Write as _, io, path::Path};

use jiff::tz::TimeZone;
use tokio::time::interval;

use super::{
    CliError, colours,
    out::{LOOK, reader_is_gone, say, write_out},
    runtime,
};
use crate::{
    admin::{self, AskError, Missed},
    exchange::{Filter, Row},
};

/// Columns of the host and path; longer ones push the rest to the right.
const WIDTH: usize = 40;

/// Prints each exchange that `filter` wants, as text or as JSON, until the reader or the daemon ends.
pub(super) fn run(socket: &Path, filter: &Filter, json: bool) -> Result<(), CliError> {
    let coloured = colours(&io::stdout());
    runtime()?.block_on(async {
        let mut following = admin::exchanges(socket, filter).await?;
        let mut looks = interval(LOOK);
        loop {
            let line = tokio::select! {
                line = following.line() => line?,
                // On a quiet daemon nothing would be written for long that could fail.
                _ = looks.tick() => {
                    if reader_is_gone() {
                        return Ok(());
                    }
                    continue;
                }
            };
            let line = if json { [&*line, b"\n"].concat() } else { show(socket, &line, coloured)? };
            if !write_out(&line)? {
                return Ok(());
            }
        }
    })
}

/// A line for people; that some were missed goes to standard error.
fn show(socket: &Path, line: &[u8], coloured: bool) -> Result<Vec<u8>, AskError> {
    if let Ok(Missed { missed }) = serde_json::from_slice(line) {
        say(format_args!("dispa: {missed} exchanges are not shown: there are too many at once"));
        return Ok(Vec::new());
    }
    let row = serde_json::from_slice(line).map_err(|error| AskError::Foreign {
        path: socket.to_owned(),
        reason: error.to_string(),
    })?;
    Ok((text(&row, coloured) + "\n").into_bytes())
}

/// `12:00:00.123 200 GET example.com/path -> one  1.2 ms  curl[4711]`
fn text(row: &Row<'_>, coloured: bool) -> String {
    let time = row.timestamp.to_zoned(TimeZone::system()).strftime("%H:%M:%S%.3f");
    let status = row.status_code.map_or_else(|| "-".to_owned(), |status| status.to_string());
    let status = paint(&format!("{status:<3}"), row.status_code, coloured);
    let method = row.method.as_deref().unwrap_or(&row.protocol);
    let origin = row.origin.map(|origin| origin.to_string()).unwrap_or_default();
    let host = row.host.as_deref().unwrap_or(&origin);
    let place = format!("{host}{}", row.path.as_deref().unwrap_or_default());
    let place = place.escape_debug().to_string();
    let target = row.target.as_deref().unwrap_or(match &*row.outcome {
        "relayed" => "(original)",
        _ => "-",
    });
    let mut text = format!(
        "{time} {status} {method:<7} {place:<WIDTH$} -> {target:<12} {:>9.1} ms",
        row.duration_ms
    );
    if !matches!(&*row.outcome, "ok" | "relayed") {
        text.push_str("  ");
        text.push_str(&row.outcome);
    }
    if let Some(pid) = row.pid {
        let name = row.process.as_deref().unwrap_or_default().escape_debug();
        // Writing to a string cannot fail.
        let _ = write!(text, "  {name}[{pid}]");
    }
    text
}

fn paint(text: &str, status: Option<u16>, coloured: bool) -> String {
    let colour = match status.map(|status| status / 100) {
        Some(2) => 32,
        Some(3) => 36,
        Some(4) => 33,
        Some(5) => 31,
        _ => return text.to_owned(),
    };
    if coloured { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use crate::exchange::Row;

    fn row(json: &str) -> Row<'static> {
        let common = r#""id":"01890a5d-ac96-774b-bcce-b302099a8057","timestamp":"2026-01-02T03:04:05Z",
            "client_ip":"127.0.0.1","client_port":4000,"door":"transparent","attempts":1,
            "request_bytes":0,"response_bytes":5,"duration_ms":1.25"#;
        serde_json::from_str(&format!("{{{common},{json}}}")).expect("a row")
    }

    fn text(json: &str) -> String {
        let text = super::text(&row(json), false);
        // The clock's zone is the machine's.
        text.split_once(' ').map(|(_, rest)| rest.to_owned()).expect("a time")
    }

    #[test]
    fn an_exchange_is_one_line() {
        assert_eq!(
            text(
                r#""protocol":"http1","method":"GET","host":"example.com","path":"/a","status_code":200,
                "target":"one","outcome":"ok","pid":4711,"process":"curl""#
            ),
            "200 GET     example.com/a                            -> one                1.2 ms  curl[4711]"
        );
        assert_eq!(
            text(r#""protocol":"tcp","origin":"192.0.2.1:443","outcome":"origin_failed","pid":7"#),
            "-   tcp     192.0.2.1:443                            -> -                  1.2 ms  origin_failed  [7]"
        );
    }

    #[test]
    fn nothing_of_it_can_break_the_line() {
        let line = text(r#""protocol":"http1","host":"a","path":"/\n\u001b[2J","outcome":"ok""#);
        assert!(!line.contains(['\n', '\x1b']), "{line}");
    }

    #[test]
    fn only_a_terminal_sees_colours() {
        assert_eq!(super::paint("502", Some(502), true), "\x1b[31m502\x1b[0m");
        assert_eq!(super::paint("502", Some(502), false), "502");
    }
}
