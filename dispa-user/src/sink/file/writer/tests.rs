//! Files as the writer leaves them.

use std::{fs, sync::Arc, time::Duration};

use crate::{
    config::{LogContent, LogFiles, TrafficLog as Config},
    exchange::Row,
    sink::{
        GroupBy, Query, TrafficLog,
        tests::{Scratch, closed, exchange, until},
    },
};

fn config(scratch: &Scratch) -> Config {
    let file = LogFiles {
        directory: scratch.path("logs"),
        max_file_size: 65_536,
        rotation: true,
        max_total_size: 1 << 30,
    };
    Config {
        file: Some(file),
        database: None,
        retention_days: 30,
        flush_interval: Duration::from_millis(100),
        max_queue_size: 1 << 24,
        content: LogContent { query: true, redact: vec!["token".to_owned()], headers: Vec::new() },
    }
}

#[test]
fn every_file_holds_whole_lines_and_no_more_than_it_may() {
    let scratch = Scratch::new();
    let log = TrafficLog::open(&config(&scratch)).expect("opens");
    for second in 0..2_000 {
        log.observe(&Arc::new(exchange(second)));
    }
    let accounts = closed(&log);
    assert_eq!((accounts.observed, accounts.written), (2_000, 2_000));
    let page = log.reader().page(&Query::default(), None, 5_000).expect("answers");
    assert_eq!((page.records.len(), page.before), (2_000, None));
    assert!(page.records.is_sorted_by(|newer, older| newer.id > older.id));
    let stats = log.reader().stats(&Query::default(), GroupBy::Host).expect("answers");
    assert_eq!((stats[0].name.as_str(), stats[0].count), ("a.example.com", 2_000));
    for entry in fs::read_dir(scratch.path("logs")).expect("there") {
        let path = entry.expect("there").path();
        if path.extension().is_some_and(|it| it == "log") {
            let text = fs::read_to_string(&path).expect("reads");
            assert!(text.len() <= 65_536 && text.ends_with('\n'), "{}", text.len());
            assert!(!text.contains("s3cret") && text.contains("token=[redacted]"));
            for line in text.lines() {
                let _: Row<'_> = serde_json::from_str(line).expect("a record");
            }
        }
    }
}

#[test]
fn pages_join_without_a_gap() {
    let scratch = Scratch::new();
    let log = TrafficLog::open(&config(&scratch)).expect("opens");
    for second in 0..1_000 {
        log.observe(&Arc::new(exchange(second)));
    }
    closed(&log);
    let (mut before, mut pages, mut found) = (None, 0, Vec::new());
    loop {
        let page = log.reader().page(&Query::default(), before, 300).expect("answers");
        pages += 1;
        found.extend(page.records);
        before = page.before;
        if before.is_none() {
            break;
        }
    }
    assert_eq!((pages, found.len()), (4, 1_000));
    assert!(found.is_sorted_by(|newer, older| newer.id > older.id));
}

#[test]
fn a_file_that_is_moved_away_is_made_anew() {
    let scratch = Scratch::new();
    let log = TrafficLog::open(&config(&scratch)).expect("opens");
    let today = format!("traffic-{}.log", super::super::day_of(jiff::Timestamp::now()));
    let (path, aside) = (scratch.path("logs").join(today), scratch.path("aside"));
    log.observe(&Arc::new(exchange(1)));
    until("it is written", || log.accounts()[0].written == 1);
    fs::rename(&path, &aside).expect("renames");
    log.reopen();
    log.observe(&Arc::new(exchange(2)));
    until("it is written", || log.accounts()[0].written == 2);
    for path in [path, aside] {
        assert_eq!(fs::read_to_string(path).expect("there").lines().count(), 1);
    }
    closed(&log);
}

#[test]
fn a_queue_that_is_full_drops_the_newest_and_counts_them() {
    let scratch = Scratch::new();
    let log = TrafficLog::open(&Config {
        max_queue_size: 65_536,
        flush_interval: Duration::from_mins(1),
        ..config(&scratch)
    })
    .expect("opens");
    let all: Vec<_> = (0..20_000).map(|it| Arc::new(exchange(it))).collect();
    for exchange in &all {
        log.observe(exchange);
    }
    let accounts = closed(&log);
    assert_eq!(accounts.observed, 20_000);
    assert_eq!(accounts.dropped.keys().collect::<Vec<_>>(), ["queue_full"]);
    let page = log.reader().page(&Query::default(), None, 20_000).expect("answers");
    assert_eq!(page.records.len() as u64, accounts.written);
}
