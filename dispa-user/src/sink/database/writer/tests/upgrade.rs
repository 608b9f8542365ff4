//! A database of an earlier version, and what its indexes are used for.

use rusqlite::Connection;

use super::{SOON, Scratch, closed, config, count, now};
use crate::{
    rules::Pattern,
    sink::{
        Query, TrafficLog,
        database::{Database, Purpose, search::Search},
    },
};

/// What `.dump` made of a database of the first version, with four records of its daemon.
const FIRST: &str = include_str!("version1.sql");

#[test]
fn a_database_of_the_first_version_goes_on() {
    let scratch = Scratch::new();
    let file = scratch.path("data/traffic.db");
    std::fs::create_dir(scratch.path("data")).expect("made");
    let old = Connection::open(&file).expect("opens");
    old.pragma_update(None, "journal_mode", "WAL").expect("as it was");
    old.execute_batch(FIRST).expect("made");
    let log = TrafficLog::open(&config(&scratch)).expect("opens");
    // As by a daemon of that version that has not ended yet.
    let copied = "INSERT INTO traffic SELECT 'x' || substr(id, 2), timestamp, client_ip, client_port, door, origin,
        protocol, host, sni, method, path, query, rule, target, attempts, status_code, request_bytes, response_bytes,
        first_byte_ms, duration_ms, outcome, fault, pid, process, executable, uid, cgroup, unit, container, headers
        FROM traffic WHERE true ON CONFLICT (id) DO NOTHING";
    assert_eq!(old.execute(copied, []).expect("writes"), 4);
    old.execute("DELETE FROM traffic WHERE id LIKE 'x%'", []).expect("removes");
    log.observe(&std::sync::Arc::new(now(0)));
    assert_eq!(closed(&log).written, 1);
    let all = log.reader().page(&Query::default(), None, 10).expect("answers").records;
    let told: Vec<_> =
        all.iter().map(|it| (it.host.as_deref(), it.status_code, it.path.as_deref())).collect();
    assert_eq!(
        told[told.len() - 4..],
        [
            (Some("example.com"), Some(501), Some("/%00'x")),
            (Some("nobody.test"), Some(404), Some("/")),
            (Some("www.example.com"), Some(404), Some("/missing")),
            (Some("example.com"), Some(200), Some("/c.toml")),
        ]
    );
    assert_eq!((told.len(), count(&file)), (5, 5));
    let version = "SELECT max(version) FROM dispa_schema";
    assert_eq!(old.query_row(version, [], |row| row.get::<_, i32>(0)).expect("there"), 2);
    closed(&TrafficLog::open(&config(&scratch)).expect("opens again"));
}

#[test]
fn indexes_are_used_for_what_they_are_for() {
    let scratch = Scratch::new();
    let config = config(&scratch);
    let url = config.database.as_ref().expect("there");
    Database::open(url, Purpose::Write, SOON).expect("opens");
    let connection = Connection::open(scratch.path("data/traffic.db")).expect("opens");
    let uses = |text: &str| -> String {
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {text}")).expect("a query");
        let bound = plan.parameter_count();
        let rows = plan
            .query_map(rusqlite::params_from_iter(vec!["1"; bound]), |row| row.get::<_, String>(3));
        rows.expect("a plan").map(|it| it.expect("a step")).collect::<Vec<_>>().join("; ")
    };
    let host = Pattern::parse("a.test").ok();
    let process = Some("curl".to_owned());
    for (query, index) in [
        (Query { host, ..Query::default() }, "traffic_host (host=?"),
        (Query { process, ..Query::default() }, "traffic_process (process=?"),
        (Query { status: Some((500, 500)), ..Query::default() }, "traffic"),
    ] {
        let told = uses(&format!("SELECT * FROM traffic {}", Search::new(&query, None, 10).tail));
        assert!(told.contains("INDEX") && told.contains(index), "{told}");
        assert!(!told.contains("TEMP B-TREE") || query.status.is_some(), "{told}");
    }
    // Whoever asks with another tool.
    for (condition, index) in [
        ("timestamp >= '2024-01-01'", "traffic_timestamp"),
        ("host = 'a.test'", "traffic_host"),
        ("status_code = 500", "traffic_status"),
        ("status_code BETWEEN 500 AND 599", "traffic_status"),
        ("process = 'curl'", "traffic_process"),
        ("id = 'x'", "sqlite_autoindex_traffic_1"),
    ] {
        let told = uses(&format!("SELECT * FROM traffic WHERE {condition}"));
        assert!(told.contains(index), "{condition}: {told}");
    }
}
