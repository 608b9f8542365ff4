//! The writer, into `SQLite`.

mod shared;
mod upgrade;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use http::StatusCode;
use jiff::{Timestamp, ToSpan as _};
use proptest::prelude::*;
use rusqlite::Connection;

use crate::{
    config::{DatabaseUrl, LogContent, LogDatabase, LogFiles, TrafficLog as Config},
    exchange::{Exchange, Process, Row, new_id},
    rules::Pattern,
    sink::{
        GroupBy, Query, Reader, TrafficLog,
        database::{Database, Purpose, schema::COLUMNS},
        tests::{SOON, Scratch, closed, exchange, until},
    },
    types::HostName,
};

fn config(scratch: &Scratch) -> Config {
    let database = LogDatabase {
        url: DatabaseUrl::Sqlite(scratch.path("data/traffic.db")),
        max_connections: 2,
        connection_timeout: Duration::from_secs(1),
        spill_file: scratch.path("spill"),
        max_spill_size: 1 << 20,
    };
    Config {
        file: None,
        database: Some(database),
        retention_days: 30,
        flush_interval: Duration::from_millis(100),
        max_queue_size: 1 << 20,
        content: LogContent::default(),
    }
}

fn now(number: u64) -> Exchange {
    let began =
        std::time::SystemTime::now() - Duration::from_mins(1) + Duration::from_millis(number);
    Exchange { id: new_id(began), began, ..exchange(0) }
}

fn count(file: &Path) -> u64 {
    let connection = Connection::open(file).expect("opens");
    connection.query_row("SELECT count(*) FROM traffic", [], |row| row.get(0)).expect("counts")
}

#[test]
fn what_is_observed_is_there() {
    let scratch = Scratch::new();
    let log = TrafficLog::open(&config(&scratch)).expect("opens");
    for number in 0..2_500 {
        log.observe(&Arc::new(now(number)));
    }
    let accounts = closed(&log);
    assert_eq!((accounts.observed, accounts.written, accounts.queued), (2_500, 2_500, 0));
    assert_eq!(count(&scratch.path("data/traffic.db")), 2_500);
    let page = log.reader().page(&Query::default(), None, 1_000).expect("answers");
    assert_eq!(page.records.len(), 1_000);
    let rest = log.reader().page(&Query::default(), page.before, 2_000).expect("answers");
    assert_eq!((rest.records.len(), rest.before), (1_500, None));
    assert!(page.records.last().map(|it| it.id) > rest.records.first().map(|it| it.id));
    let stats = log.reader().stats(&Query::default(), GroupBy::Target).expect("answers");
    assert_eq!((stats[0].name.as_str(), stats[0].count, stats[0].errors), ("one", 2_500, 0));
}

#[test]
fn a_database_that_is_away_is_made_up_for_in_order_and_without_doubles() {
    let scratch = Scratch::new();
    let config = config(&scratch);
    let file = scratch.path("data/traffic.db");
    let log = TrafficLog::open(&config).expect("opens");
    log.observe(&Arc::new(now(0)));
    until("the first is written", || log.accounts()[0].written == 1);
    // Whoever holds it exclusively keeps all others away.
    let other = Connection::open(&file).expect("opens");
    other.execute_batch("BEGIN EXCLUSIVE").expect("locks");
    for number in 1..50 {
        log.observe(&Arc::new(now(number)));
    }
    until("they are spilled", || log.accounts()[0].spilled == 49);
    assert!(log.accounts()[0].trouble.is_some());
    other.execute_batch("COMMIT").expect("unlocks");
    for number in 50..60 {
        log.observe(&Arc::new(now(number)));
    }
    until("all are written", || log.accounts()[0].written == 60);
    let accounts = closed(&log);
    assert_eq!((accounts.observed, accounts.written, accounts.trouble), (60, 60, None));
    assert_eq!(count(&file), 60);
}

#[test]
fn a_file_that_is_taken_away_is_made_anew() {
    let scratch = Scratch::new();
    let file = scratch.path("data/traffic.db");
    let log = TrafficLog::open(&config(&scratch)).expect("opens");
    log.observe(&Arc::new(now(0)));
    until("the first is written", || log.accounts()[0].written == 1);
    std::fs::rename(scratch.path("data"), scratch.path("aside")).expect("renames");
    log.observe(&Arc::new(now(1)));
    until("the second is written", || log.accounts()[0].written == 2);
    assert_eq!(closed(&log).written, 2);
    assert_eq!((count(&file), count(&scratch.path("aside/traffic.db"))), (1, 1));
}

#[test]
fn what_is_spilled_at_the_stop_is_loaded_at_the_next_start() {
    let scratch = Scratch::new();
    let config = config(&scratch);
    let file = scratch.path("data/traffic.db");
    let log = TrafficLog::open(&config).expect("opens");
    let other = Connection::open(&file).expect("opens");
    other.execute_batch("BEGIN EXCLUSIVE").expect("locks");
    for number in 0..50 {
        log.observe(&Arc::new(now(number)));
    }
    let accounts = closed(&log);
    assert_eq!((accounts.observed, accounts.spilled, accounts.dropped()), (50, 50, 0));
    drop(other);
    let log = TrafficLog::open(&config).expect("opens");
    until("all are written", || log.accounts()[0].written == 50);
    let accounts = closed(&log);
    assert_eq!((accounts.observed, accounts.spilled), (50, 0));
    assert_eq!(count(&file), 50);
}

#[test]
fn with_no_room_anywhere_the_newest_are_dropped_and_counted() {
    let scratch = Scratch::new();
    let mut config = config(&scratch);
    config.max_queue_size = 65_536;
    if let Some(database) = &mut config.database {
        database.max_spill_size = 20_000;
    }
    let file = scratch.path("data/traffic.db");
    let log = TrafficLog::open(&config).expect("opens");
    let other = Connection::open(&file).expect("opens");
    other.execute_batch("BEGIN EXCLUSIVE").expect("locks");
    until("some are dropped", || {
        log.observe(&Arc::new(now(0)));
        log.accounts()[0].dropped.contains_key("database_away")
    });
    let accounts = log.accounts().pop().expect("one sink");
    assert!(accounts.balance() && accounts.spilled > 10 && accounts.queued > 10, "{accounts}");
    other.execute_batch("COMMIT").expect("unlocks");
    until("the rest is written", || log.accounts()[0].queued + log.accounts()[0].spilled == 0);
    let accounts = closed(&log);
    assert_eq!(count(&file), accounts.written);
    assert_eq!(accounts.observed, accounts.written + accounts.dropped());
}

/// Records a second that come in while others are removed.
const RATE: u32 = 500;

#[test]
fn thirty_days_are_kept_while_records_come_in() {
    let scratch = Scratch::new();
    let config = config(&scratch);
    let file = scratch.path("data/traffic.db");
    let day = |days: i64| Timestamp::now() - (days * 24).hours() - 10.minutes();
    {
        let database = config.database.as_ref().expect("there");
        let mut database = Database::open(database, Purpose::Write, SOON).expect("opens");
        for days in 0..36 {
            let exchanges: Vec<_> = (0..1_000)
                .map(|_| Exchange {
                    began: day(days).into(),
                    id: new_id(day(days).into()),
                    ..exchange(0)
                })
                .collect();
            let rows: Vec<Row<'_>> = exchanges.iter().map(Exchange::row).collect();
            database.insert(&rows).expect("inserts");
        }
    }
    assert_eq!(count(&file), 36_000);
    let log = TrafficLog::open(&config).expect("opens");
    let connection = Connection::open(&file).expect("opens");
    let due = || {
        let due = "SELECT count(*) FROM traffic WHERE timestamp < ?1";
        let before = format!("{:.6}", Timestamp::now() - (30 * 24).hours());
        connection.query_row(due, [before], |row| row.get::<_, u64>(0)).expect("counts")
    };
    let begun = Instant::now();
    let mut sent = 0;
    while sent < RATE || due() > 0 {
        for _ in 0..RATE / 50 {
            log.observe(&Arc::new(now(sent.into())));
            sent += 1;
        }
        let next = begun + Duration::from_secs(1) * sent / RATE;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        assert!(begun.elapsed() < SOON, "{} are still there", due());
    }
    println!("{sent} in {:?}", begun.elapsed());
    let accounts = closed(&log);
    assert_eq!((accounts.written, accounts.dropped()), (sent.into(), 0));
    assert_eq!(count(&file), 30_000 + u64::from(sent), "the days 0 to 29 stay");
}

#[test]
fn a_log_that_is_due_altogether_is_not_removed_at_once() {
    let scratch = Scratch::new();
    let config = config(&scratch);
    let file = scratch.path("data/traffic.db");
    let log = TrafficLog::open(&config).expect("opens");
    (0..50).for_each(|second| log.observe(&Arc::new(exchange(second))));
    closed(&log);
    let log = TrafficLog::open(&config).expect("opens");
    log.observe(&Arc::new(now(0)));
    until("it is written", || log.accounts()[0].written == 1);
    log.observe(&Arc::new(now(1)));
    assert_eq!((closed(&log).written, count(&file)), (2, 52));
}

#[test]
fn files_and_database_give_equal_answers() {
    let scratch = Scratch::new();
    let files = LogFiles {
        directory: scratch.path("logs"),
        max_file_size: 20_000,
        rotation: true,
        max_total_size: 1 << 30,
    };
    let both = Config { file: Some(files), ..config(&scratch) };
    let log = TrafficLog::open(&both).expect("opens");
    for number in 0..500 {
        let host = ["a.test", "b.a.test", "c.test"][number as usize % 3];
        let status = [200, 404, 503][number as usize / 100 % 3];
        log.observe(&Arc::new(Exchange {
            host: HostName::parse(host).ok(),
            status: StatusCode::from_u16(status).ok(),
            process: Some(Arc::new(Process {
                name: Some("curl".into()),
                ..Process::numbered(7, 0)
            }))
            .filter(|_| number % 2 == 0),
            target: Some("one".into()).filter(|_| number % 5 > 0),
            ..exchange(number)
        }));
    }
    log.close(Instant::now() + SOON);
    let of_files = Reader::new(&Config { database: None, ..both.clone() });
    let of_database = Reader::new(&Config { file: None, ..both });
    let middle = exchange(250).row().timestamp;
    let host = |text| Pattern::parse(text).ok();
    for query in [
        Query::default(),
        Query { since: Some(middle), ..Query::default() },
        Query { until: Some(middle), host: host("*.a.test"), ..Query::default() },
        Query { host: host("a.test"), status: Some((400, 599)), ..Query::default() },
        Query { process: Some("curl".to_owned()), ..Query::default() },
        Query { slower_than: Some(Duration::from_millis(400)), ..Query::default() },
    ] {
        let (mut before, mut found) = (None, 0);
        loop {
            let [one, other] =
                [&of_files, &of_database].map(|it| it.page(&query, before, 60).expect("answers"));
            assert_eq!(one, other, "{query:?}");
            found += one.records.len();
            before = one.before;
            if before.is_none() {
                break;
            }
        }
        assert!(found > 10, "{query:?}");
        for by in [GroupBy::Host, GroupBy::Target] {
            let [one, other] =
                [&of_files, &of_database].map(|it| it.stats(&query, by).expect("answers"));
            assert_eq!(one, other, "{query:?}");
        }
    }
}

#[test]
fn a_later_versions_schema_is_left_alone() {
    let scratch = Scratch::new();
    let config = config(&scratch);
    closed(&TrafficLog::open(&config).expect("opens"));
    let connection = Connection::open(scratch.path("data/traffic.db")).expect("opens");
    connection.execute("INSERT INTO dispa_schema VALUES (1000)", []).expect("inserts");
    let error = TrafficLog::open(&config).expect_err("refused").to_string();
    assert!(error.contains("data/traffic.db") && error.contains("later version"), "{error}");
}

#[test]
fn a_path_that_cannot_be_is_named() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path("data"), "a file").expect("writes");
    let error = TrafficLog::open(&config(&scratch)).expect_err("refused").to_string();
    assert!(error.contains("data/traffic.db cannot be used"), "{error}");
}

/// Whatever a text may hold, and what breaks lines, quotes and C strings.
fn hostile() -> impl Strategy<Value = String> {
    let letters = prop_oneof![
        any::<char>(),
        Just('\0'),
        Just('\n'),
        Just('\r'),
        Just('"'),
        Just('\\'),
        Just('\''),
        Just('\u{fffd}'),
        Just('\u{2028}')
    ];
    proptest::collection::vec(letters, 0..40).prop_map(|letters| letters.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_record_holds_is_one_line_and_one_row(
        path in hostile(), process in hostile(), field in hostile(), huge in 0_usize..70_000,
    ) {
        let exchange = exchange(1);
        let path = format!("{path}{}", "x".repeat(huge));
        let row = Row {
            path: Some(path.into()),
            process: Some(process.into()),
            headers: Some([("x-a".into(), field)].into()),
            ..exchange.row()
        };
        let line = serde_json::to_vec(&row).expect("JSON");
        prop_assert!(!line.contains(&b'\n'));
        prop_assert_eq!(&serde_json::from_slice::<Row<'_>>(&line).expect("reads"), &row);
        let scratch = Scratch::new();
        let config = config(&scratch);
        let database = config.database.as_ref().expect("there");
        let mut database = Database::open(database, Purpose::Write, SOON).expect("opens");
        database.insert(std::slice::from_ref(&row)).expect("inserts");
        database.insert(std::slice::from_ref(&row)).expect("is there already");
        prop_assert_eq!(database.page(&Query::default(), None, 10).expect("reads"), [row]);
    }
}

#[test]
fn the_columns_are_the_fields_of_a_row() {
    let text = || Some("x".into());
    let exchange = exchange(1);
    let row = Row {
        origin: Some("192.0.2.1:80".parse().expect("an address")),
        sni: text(),
        query: text(),
        rule: text(),
        fault: text(),
        pid: Some(1),
        process: text(),
        executable: text(),
        uid: Some(1),
        cgroup: text(),
        unit: text(),
        container: text(),
        headers: Some([("a".into(), "b".to_owned())].into()),
        ..exchange.row()
    };
    let value = serde_json::to_value(&row).expect("JSON");
    let mut names: Vec<_> =
        value.as_object().expect("an object").keys().map(String::as_str).collect();
    let mut columns = COLUMNS.to_vec();
    names.sort_unstable();
    columns.sort_unstable();
    assert_eq!(names, columns);
}

#[test]
fn searches_find_what_they_say() {
    let scratch = Scratch::new();
    let config = config(&scratch);
    let database = config.database.as_ref().expect("there");
    let mut database = Database::open(database, Purpose::Write, SOON).expect("opens");
    let hosts = ["example.com", "a.example.com", "aexample.com", "x_y.a_b.com", "x.aab.com"];
    let exchanges: Vec<_> = (0..50).map(exchange).collect();
    let rows: Vec<Row<'_>> = exchanges
        .iter()
        .zip(hosts.iter().cycle())
        .zip(0_u16..)
        .map(|((exchange, host), number)| Row {
            host: Some((*host).into()),
            status_code: Some(200 + number * 10),
            process: Some(if number % 2 == 0 { "curl" } else { "wget" }.into()),
            ..exchange.row()
        })
        .collect();
    database.insert(&rows).expect("inserts");
    let pattern = |text| Pattern::parse(text).ok();
    for query in [
        Query {
            since: Some(rows[10].timestamp),
            until: Some(rows[20].timestamp),
            ..Query::default()
        },
        Query { host: pattern("*.example.com"), ..Query::default() },
        Query { host: pattern("*.a_b.com"), ..Query::default() },
        Query { host: pattern("example.com"), ..Query::default() },
        Query { status: Some((400, 499)), process: Some("curl".to_owned()), ..Query::default() },
        Query { slower_than: Some(Duration::from_millis(30)), ..Query::default() },
    ] {
        let mut fit: Vec<_> = rows.iter().filter(|row| query.fits(row)).cloned().collect();
        fit.reverse();
        assert!(!fit.is_empty() && fit.len() < 50, "{query:?}");
        assert_eq!(database.page(&query, None, 100).expect("reads"), fit, "{query:?}");
    }
}
