//! Files as the writer leaves them.

use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use uuid::Uuid;

use crate::{
    config::{LogContent, LogFiles, TrafficLog as Config},
    exchange::Row,
    sink::{
        GroupBy, Query, TrafficLog,
        lines::hold,
        tests::{Scratch, closed, exchange, until},
    },
};

fn config(directory: &Path) -> Config {
    let file = LogFiles {
        directory: directory.join("logs"),
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
    let log = TrafficLog::open(&config(scratch.as_ref())).expect("opens");
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
    let log = TrafficLog::open(&config(scratch.as_ref())).expect("opens");
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
    let log = TrafficLog::open(&config(scratch.as_ref())).expect("opens");
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
        ..config(scratch.as_ref())
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

/// How often each record is in the files, whole lines all of them.
fn written(scratch: &Scratch) -> BTreeMap<Uuid, u32> {
    let logs = scratch.path("logs");
    // Nothing is compressed meanwhile.
    let directory = fs::File::open(&logs).expect("there");
    until("the directory is free", || hold(&directory).is_ok());
    let mut counts = BTreeMap::new();
    for entry in fs::read_dir(&logs).expect("there") {
        let path = entry.expect("there").path();
        // What a killed one was just making, or has made and not removed the rest of.
        let is_packed = path.extension().is_some_and(|it| it == "zst");
        if path.extension().is_some_and(|it| it == "part")
            || is_packed && path.with_extension("").exists()
        {
            continue;
        }
        let bytes = match fs::read(&path) {
            Ok(bytes) if is_packed => zstd::decode_all(&*bytes).expect("zstd"),
            Ok(bytes) => bytes,
            // It is turned just now.
            Err(_) => continue,
        };
        let text = String::from_utf8(bytes).expect("text");
        assert!(text.is_empty() || text.ends_with('\n'), "{}", path.display());
        for line in text.lines() {
            let row: Row<'_> = serde_json::from_str(line).expect(line);
            *counts.entry(row.id).or_default() += 1;
        }
    }
    counts
}

/// Has records written, many a batch; their numbers.
fn observe(log: &TrafficLog, count: u32) -> Vec<Uuid> {
    let mut ids = Vec::new();
    for number in 0..count {
        let exchange = Arc::new(exchange(number));
        ids.push(exchange.id);
        log.observe(&exchange);
        if number % 64 == 0 {
            log.reopen();
            thread::sleep(Duration::from_millis(1));
        }
    }
    ids
}

/// Files so small that they are turned all the time.
fn tiny(directory: &Path) -> Config {
    let mut config = config(directory);
    if let Some(file) = &mut config.file {
        file.max_file_size = 4_096;
    }
    config
}

#[test]
fn several_daemons_write_to_the_same_files() {
    let scratch = Scratch::new();
    let logs = [(); 3].map(|()| TrafficLog::open(&tiny(scratch.as_ref())).expect("opens"));
    let ids: Vec<_> = thread::scope(|scope| {
        let writers = logs.each_ref().map(|log| scope.spawn(|| observe(log, 1_500)));
        writers.into_iter().flat_map(|it| it.join().expect("no panic")).collect()
    });
    for log in &logs {
        assert_eq!(closed(log).written, 1_500);
    }
    let counts = written(&scratch);
    assert_eq!(counts.len(), ids.len());
    assert!(ids.iter().all(|id| counts.get(id) == Some(&1)), "each of them once");
    let names = fs::read_dir(scratch.path("logs")).expect("there").count();
    assert!(names > 300, "{names} files");
}

/// Tells a test that it is the other process, and where that writes.
const OTHER: &str = "DISPA_TEST_OTHER_WRITER";

struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn one_that_is_killed_tears_nothing_of_anothers() {
    if let Some(directory) = env::var_os(OTHER) {
        // Whatever becomes of the test.
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).expect("set");
        let log = TrafficLog::open(&tiny(directory.as_ref())).expect("opens");
        loop {
            observe(&log, 1_000);
        }
    }
    let scratch = Scratch::new();
    let log = TrafficLog::open(&tiny(scratch.as_ref())).expect("opens");
    let name = "one_that_is_killed_tears_nothing_of_anothers";
    let (_, module) = module_path!().split_once("::").expect("in a crate");
    let mut ids = Vec::new();
    for _ in 0..4 {
        until("nothing waits", || log.accounts()[0].queued == 0);
        let before = written(&scratch).len();
        let mut command = Command::new(env::current_exe().expect("this"));
        command.args(["--exact", &format!("{module}::{name}")]);
        command.env(OTHER, scratch.path("")).stdout(Stdio::null());
        let other = Other(command.spawn().expect("starts"));
        until("the other one writes", || written(&scratch).len() > before);
        ids.extend(observe(&log, 300));
        drop(other);
        ids.extend(observe(&log, 50));
    }
    assert_eq!(closed(&log).written, 1_400);
    let counts = written(&scratch);
    assert!(ids.iter().all(|id| counts.get(id) == Some(&1)), "each of them once");
    assert!(counts.len() > ids.len() && counts.values().all(|count| *count == 1));
}
