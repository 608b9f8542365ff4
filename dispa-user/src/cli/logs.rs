//! `dispa logs`: what the traffic log has, asked of the daemon, else read where the configuration says.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use jiff::{SignedDuration, Span, Timestamp, civil::Date, tz::TimeZone};

use super::{CliError, args::LogArgs, runtime, say, write_out};
use crate::{
    admin::{self, AskError, LONGEST_PAGE, LogQuestion},
    config::Config,
    exchange::Row,
    sink::{Page, Query, Reader, Stats, Unanswered},
};

/// Prints what is asked for, the oldest record first.
pub(super) fn run(args: &LogArgs, config: &Config) -> Result<(), CliError> {
    let query = Query {
        since: args.since,
        until: args.until,
        host: args.host.clone(),
        status: args.status,
        process: args.process.clone(),
        slower_than: args.slower_than,
        deadline: None,
    };
    let mut question =
        LogQuestion { query, before: None, limit: None, by: args.stats.unwrap_or_default() };
    if args.stats.is_some() {
        let stats = match asked(args, config, |socket| {
            runtime()?.block_on(admin::log_stats(socket, &question)).map_err(CliError::from)
        })? {
            Some(stats) => stats,
            None => reader(config)?.stats(&question.query, question.by)?,
        };
        return write_out(stats_text(&stats, args.json)?.as_bytes()).map(drop);
    }
    let asked = asked(args, config, |socket| {
        let page = |question: &LogQuestion| -> Result<Page, CliError> {
            Ok(runtime()?.block_on(admin::logs(socket, question))?)
        };
        pages(&mut question, args.limit, page)
    })?;
    let mut rows = match asked {
        Some(rows) => rows,
        None => reader(config)?.page(&question.query, None, args.limit)?.records,
    };
    rows.reverse();
    let mut out = io::BufWriter::new(io::stdout());
    for row in &rows {
        let text = if args.json { json(row)? } else { line(row) };
        match out.write_all(text.as_bytes()) {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(CliError::Output)?,
        }
    }
    match out.flush() {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        flushed => flushed.map_err(CliError::Output),
    }
}

/// The daemon's answer; none if there is no daemon to ask.
fn asked<T>(
    args: &LogArgs,
    config: &Config,
    ask: impl FnOnce(&std::path::Path) -> Result<T, CliError>,
) -> Result<Option<T>, CliError> {
    let Some(socket) = config.admin.socket.as_deref().filter(|_| !args.no_daemon) else {
        return Ok(None);
    };
    match ask(socket) {
        Ok(answer) => Ok(Some(answer)),
        Err(CliError::Ask(error @ AskError::Unreachable { .. })) => {
            say(format_args!("dispa: {error}; read where the configuration says"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn reader(config: &Config) -> Result<Reader, CliError> {
    Ok(Reader::new(config.traffic_log.as_ref().ok_or(Unanswered::NoLog)?))
}

/// Asks page by page.
fn pages(
    question: &mut LogQuestion,
    most: usize,
    page: impl Fn(&LogQuestion) -> Result<Page, CliError>,
) -> Result<Vec<Row<'static>>, CliError> {
    let mut rows = Vec::new();
    loop {
        let left = most.saturating_sub(rows.len());
        if left == 0 {
            return Ok(rows);
        }
        question.limit = Some(left.min(LONGEST_PAGE));
        let found = page(question)?;
        rows.extend(found.records);
        question.before = found.before;
        if question.before.is_none() {
            return Ok(rows);
        }
    }
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, CliError> {
    let text = serde_json::to_string(value).map_err(io::Error::from);
    text.map(|text| text + "\n").map_err(CliError::Output)
}

fn line(row: &Row<'_>) -> String {
    let nothing = "-";
    let status = row.status_code.map_or_else(|| nothing.to_owned(), |it| it.to_string());
    let method = row.method.as_deref().unwrap_or(&row.protocol);
    let mut text = format!("{:.3} {status:<3} {method} ", row.timestamp);
    // Writing to a string cannot fail.
    let _ = write!(text, "{}", clean(row.host.as_deref().unwrap_or(nothing)));
    let _ = write!(text, "{} -> ", clean(row.path.as_deref().unwrap_or_default()));
    let _ = write!(
        text,
        "{} {:.1} ms",
        clean(row.target.as_deref().unwrap_or(nothing)),
        row.duration_ms
    );
    let _ = write!(text, " {} {}", row.outcome, row.client_ip);
    if let Some(pid) = row.pid {
        let name = clean(row.process.as_deref().unwrap_or_default());
        let _ = write!(text, " {name}[{pid}]");
    }
    text.push('\n');
    text
}

/// Without what a terminal would take for a command.
fn clean(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

fn stats_text(stats: &[Stats], as_json: bool) -> Result<String, CliError> {
    if as_json {
        return json(&stats);
    }
    let width = stats.iter().map(|it| it.name.chars().count()).max().unwrap_or(0).max(4);
    let mut text = format!(
        "{:<width$} {:>9} {:>7} {:>10} {:>10} {:>10}\n",
        "name", "count", "errors", "p50", "p95", "p99"
    );
    for it in stats {
        let name = if it.name.is_empty() { "-".to_owned() } else { clean(&it.name) };
        let times = [it.p50_ms, it.p95_ms, it.p99_ms].map(|time| format!("{time:.1} ms"));
        let [p50, p95, p99] = times;
        let errors = format!("{:.1} %", it.error_rate * 100.0);
        let _ = writeln!(
            text,
            "{name:<width$} {:>9} {errors:>7} {p50:>10} {p95:>10} {p99:>10}",
            it.count
        );
    }
    Ok(text)
}

/// Reads a time, `2024-01-31T12:00:00Z`, the beginning of a day in UTC, `2024-01-31`, or how long ago it
/// was, `1h30m`.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    let utc = TimeZone::UTC;
    if let Ok(day) = text.parse::<Date>() {
        return day.to_zoned(utc).map(|it| it.timestamp()).map_err(|error| error.to_string());
    }
    let span: Span = text.parse().map_err(|_| "neither a time nor a span such as 1h or 2d")?;
    let then = Timestamp::now().to_zoned(utc).checked_sub(span);
    then.map(|it| it.timestamp()).map_err(|error| error.to_string())
}

/// Reads `200ms` or `1.5s`.
pub(super) fn duration(text: &str) -> Result<std::time::Duration, String> {
    let duration = text.parse::<SignedDuration>().ok().and_then(|it| it.try_into().ok());
    duration.ok_or_else(|| "not a duration such as 200ms or 2s".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::{Timestamp, ToSpan as _};

    use super::{clean, duration, moment, stats_text};
    use crate::sink::Stats;

    #[test]
    fn times_are_absolute_or_ago() {
        let at = |text| moment(text).expect("a time");
        assert_eq!(at("2024-01-31T12:00:00+01:00").to_string(), "2024-01-31T11:00:00Z");
        assert_eq!(at("2024-01-31").to_string(), "2024-01-31T00:00:00Z");
        let hour = Timestamp::now() - 1.hour();
        assert!((at("1h") - hour).total(jiff::Unit::Second).expect("short").abs() < 10.0);
        assert!(at("2d") < at("1d") && at("1d") < at("90m"));
        assert!(moment("soon").is_err());
        assert_eq!(duration("200ms"), Ok(Duration::from_millis(200)));
        assert!(duration("-1s").is_err() && duration("fast").is_err());
    }

    #[test]
    fn terminals_are_told_nothing() {
        assert_eq!(clean("a\u{1b}[2J\n"), "a\u{fffd}[2J\u{fffd}");
    }

    #[test]
    fn stats_as_people_read_them() {
        let stats = Stats {
            name: "a.example.com".to_owned(),
            count: 1_234,
            errors: 12,
            error_rate: 0.01,
            p50_ms: 1.5,
            p95_ms: 20.25,
            p99_ms: 300.0,
        };
        assert_eq!(
            format!("\n{}", stats_text(&[stats], false).expect("text")),
            "
name              count  errors        p50        p95        p99
a.example.com      1234   1.0 %     1.5 ms    20.2 ms   300.0 ms
"
        );
    }
}
