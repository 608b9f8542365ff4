//! What is counted when, and under which labels.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::StatusCode;
use uuid::Uuid;

use super::Metrics;
use crate::{
    exchange::{Exchange, Protocol},
    metrics::{Families, Format, Transport},
    rules::Pattern,
    types::{Door, Outcome},
};

fn exchange(door: Door, protocol: Protocol, outcome: Outcome, status: Option<u16>) -> Exchange {
    Exchange {
        id: Uuid::nil(),
        began: SystemTime::UNIX_EPOCH,
        duration: Duration::from_millis(3),
        first_byte: None,
        door,
        client: "127.0.0.1:1".parse().expect("an address"),
        origin: None,
        process: None,
        protocol,
        host: None,
        method: None,
        path: None,
        rule: Some(Pattern::parse("*.a.test").expect("a pattern")),
        target: Some(Arc::from("one")),
        attempts: 3,
        status: status.map(|it| StatusCode::from_u16(it).expect("a status")),
        request_bytes: 5,
        response_bytes: 7,
        fault: None,
        outcome,
        headers: Vec::new(),
    }
}

fn text(metrics: &Metrics) -> String {
    let mut families = Families::default();
    metrics.collect(&mut families);
    families.text(Format::Text)
}

fn assert_has(metrics: &Metrics, lines: &[&str]) {
    let text = text(metrics);
    for line in lines {
        assert!(text.lines().any(|it| it == *line), "{line} is not in\n{text}");
    }
}

#[test]
fn every_exchange_counts_once_and_by_its_outcome() {
    let metrics = Metrics::default();
    metrics.exchange(&exchange(Door::Explicit, Protocol::Http1, Outcome::Ok, Some(204)));
    metrics.exchange(&exchange(Door::Explicit, Protocol::Http1, Outcome::Ok, Some(500)));
    metrics.exchange(&exchange(Door::Transparent, Protocol::Http2, Outcome::Timeout, Some(504)));
    metrics.exchange(&exchange(Door::Transparent, Protocol::Tcp, Outcome::Relayed, None));
    metrics.exchange(&exchange(Door::Transparent, Protocol::Http1, Outcome::ClientAborted, None));
    let aborted = exchange(Door::Transparent, Protocol::Http1, Outcome::ClientAborted, Some(500));
    metrics.exchange(&aborted);
    assert_has(
        &metrics,
        &[
            "dispa_requests_total{door=\"explicit\",outcome=\"ok\",protocol=\"http1\"} 2",
            "dispa_requests_total{door=\"transparent\",outcome=\"relayed\",protocol=\"tcp\"} 1",
            "dispa_requests_errors_total{cause=\"server_error\"} 2",
            "dispa_requests_errors_total{cause=\"timeout\"} 1",
            "dispa_requests_errors_total{cause=\"internal\"} 0",
            "dispa_responses_total{status=\"2xx\"} 1",
            "dispa_responses_total{status=\"5xx\"} 3",
            "dispa_request_duration_seconds_count{door=\"explicit\"} 2",
            "dispa_request_duration_seconds_count{door=\"transparent\"} 3",
            "dispa_relay_duration_seconds_count 1",
            "dispa_client_received_bytes_total{protocol=\"http1\"} 20",
            "dispa_client_sent_bytes_total{protocol=\"tcp\"} 7",
            "dispa_retries_total 12",
            "dispa_rule_requests_total{rule=\"*.a.test\"} 6",
        ],
    );
    let outcomes = [("client_aborted", 2), ("ok", 2), ("relayed", 1), ("timeout", 1)];
    assert_eq!(metrics.outcomes().into_iter().collect::<Vec<_>>(), outcomes);
    assert_eq!(metrics.errors(), 3);
}

#[test]
fn a_connection_is_open_until_it_is_dropped() {
    let metrics = Metrics::default();
    let first = metrics.connection(Door::Explicit);
    let second = metrics.connection(Door::Explicit);
    drop(first);
    let lines = [
        "dispa_connections_total{door=\"explicit\"} 2",
        "dispa_connections_total{door=\"transparent\"} 0",
        "dispa_active_connections{door=\"explicit\"} 1",
    ];
    assert_has(&metrics, &lines);
    drop(second);
    assert_has(&metrics, &["dispa_active_connections{door=\"explicit\"} 0"]);
}

#[test]
fn a_websocket_is_no_long_request() {
    let metrics = Metrics::default();
    metrics.exchange(&exchange(Door::Explicit, Protocol::Http1, Outcome::Ok, Some(101)));
    assert_has(
        &metrics,
        &[
            "dispa_request_duration_seconds_count{door=\"explicit\"} 0",
            "dispa_relay_duration_seconds_count 1",
        ],
    );
}

#[test]
fn dns_is_counted_and_timed() {
    let metrics = Metrics::default();
    metrics.question(Transport::Udp);
    metrics.question_lost();
    metrics.answer(Duration::from_millis(1));
    assert_has(
        &metrics,
        &[
            "dispa_dns_questions_total{transport=\"udp\"} 1",
            "dispa_dns_questions_total{transport=\"tcp\"} 0",
            "dispa_dns_lost_total 1",
            "dispa_dns_relay_duration_seconds_count 1",
        ],
    );
}

#[test]
fn what_threads_count_apart_is_summed_up() {
    let metrics = Metrics::for_workers(3);
    std::thread::scope(|scope| {
        for _ in 0..7 {
            scope.spawn(|| {
                let _open = metrics.connection(Door::Explicit);
                metrics.exchange(&exchange(
                    Door::Explicit,
                    Protocol::Http1,
                    Outcome::Ok,
                    Some(200),
                ));
            });
        }
    });
    assert_has(
        &metrics,
        &[
            "dispa_requests_total{door=\"explicit\",outcome=\"ok\",protocol=\"http1\"} 7",
            "dispa_request_duration_seconds_count{door=\"explicit\"} 7",
            "dispa_request_duration_seconds_bucket{door=\"explicit\",le=\"0.005\"} 7",
            "dispa_request_duration_seconds_bucket{door=\"explicit\",le=\"0.001\"} 0",
            "dispa_rule_requests_total{rule=\"*.a.test\"} 7",
            "dispa_connections_total{door=\"explicit\"} 7",
            "dispa_active_connections{door=\"explicit\"} 0",
        ],
    );
    assert_eq!(metrics.outcomes().into_iter().collect::<Vec<_>>(), [("ok", 7)]);
    let text = text(&metrics);
    let mut series: Vec<_> = text.lines().filter_map(|line| line.rsplit_once(' ')).collect();
    let all = series.len();
    series.sort_unstable();
    series.dedup_by_key(|(name, _)| *name);
    assert_eq!(series.len(), all, "none is told twice");
}
