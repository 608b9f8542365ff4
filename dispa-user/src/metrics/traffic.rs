//! What exchanges, connections and DNS add to.

use std::{collections::BTreeMap, sync::OnceLock, time::Duration};

use http::StatusCode;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use super::{Families, Latency, rules::RuleCounts};
use crate::{
    exchange::{Exchange, Protocol},
    types::{Door, Outcome},
};

/// The cause of an error that a target answered with, itself.
const SERVER_ERROR: &str = "server_error";

/// The classes of statuses, by their first digit.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What is counted of traffic, from the start to the end. Shared by all threads; nothing waits.
#[derive(Debug)]
pub struct Metrics {
    requests: IntCounterVec,
    /// The same by door, protocol and outcome, for those that have occurred.
    requests_by: Vec<OnceLock<IntCounter>>,
    errors: IntCounterVec,
    /// The same by outcome, for those that are errors.
    errors_by: Vec<Option<IntCounter>>,
    server_errors: IntCounter,
    responses: IntCounterVec,
    responses_by: Vec<IntCounter>,
    durations: [Latency; Door::ALL.len()],
    relays: Latency,
    received: IntCounterVec,
    received_by: Vec<IntCounter>,
    sent: IntCounterVec,
    sent_by: Vec<IntCounter>,
    retries: IntCounter,
    rules: RuleCounts,
    connections: IntCounterVec,
    open: IntGaugeVec,
    /// Both by door.
    connections_by: Vec<(IntCounter, IntGauge)>,
    dns: Dns,
}

/// What is counted of DNS.
#[derive(Debug)]
struct Dns {
    questions: IntCounterVec,
    questions_by: Vec<IntCounter>,
    lost: IntCounter,
    duration: Latency,
}

/// How a question travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// On a connection.
    Tcp,
}

impl Transport {
    const ALL: [Self; 2] = [Self::Udp, Self::Tcp];

    const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// A client's connection, counted as open until this is dropped.
#[derive(Debug)]
pub struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let requests = counters(
            "dispa_requests_total",
            "HTTP requests, and connections that were relayed, that have ended.",
            &["door", "protocol", "outcome"],
        );
        let errors = counters(
            "dispa_requests_errors_total",
            "Those that went wrong, and why: an outcome, or server_error where a target answered with a status of 500 or more.",
            &["cause"],
        );
        let responses =
            counters("dispa_responses_total", "Statuses that clients were sent.", &["status"]);
        let received = counters(
            "dispa_client_received_bytes_total",
            "From clients, of exchanges that have ended: bodies of HTTP, else all bytes.",
            &["protocol"],
        );
        let sent = counters(
            "dispa_client_sent_bytes_total",
            "To clients, of exchanges that have ended: bodies of HTTP, else all bytes.",
            &["protocol"],
        );
        let connections =
            counters("dispa_connections_total", "Connections of clients accepted.", &["door"]);
        let open =
            gauges("dispa_active_connections", "Connections of clients that are open.", &["door"]);
        let rules = counters(
            "dispa_rule_requests_total",
            "Requests and relayed connections by the pattern that matched.",
            &["rule"],
        );
        Self {
            requests_by: cells(Door::ALL.len() * Protocol::ALL.len() * Outcome::ALL.len()),
            requests,
            errors_by: Outcome::ALL
                .iter()
                .map(|it| it.is_error().then(|| errors.with_label_values(&[it.name()])))
                .collect(),
            server_errors: errors.with_label_values(&[SERVER_ERROR]),
            errors,
            responses_by: children(&responses, &CLASSES),
            responses,
            durations: Default::default(),
            relays: Latency::long(),
            received_by: children(&received, &Protocol::ALL.map(Protocol::name)),
            received,
            sent_by: children(&sent, &Protocol::ALL.map(Protocol::name)),
            sent,
            retries: counter(
                "dispa_retries_total",
                "Further targets that were tried for a request.",
            ),
            rules: RuleCounts::new(rules),
            connections_by: Door::ALL
                .iter()
                .map(|it| {
                    (
                        connections.with_label_values(&[it.name()]),
                        open.with_label_values(&[it.name()]),
                    )
                })
                .collect(),
            connections,
            open,
            dns: Dns::default(),
        }
    }
}

impl Default for Dns {
    fn default() -> Self {
        let questions = counters(
            "dispa_dns_questions_total",
            "Questions of programs that were relayed to their resolvers.",
            &["transport"],
        );
        Self {
            questions_by: children(&questions, &Transport::ALL.map(Transport::name)),
            questions,
            lost: counter(
                "dispa_dns_lost_total",
                "Questions over UDP that could not be sent, or were refused.",
            ),
            duration: Latency::quick(),
        }
    }
}

impl Metrics {
    /// An exchange is over.
    pub fn exchange(&self, exchange: &Exchange) {
        let Exchange { door, protocol, outcome, status, duration, .. } = *exchange;
        self.request(door, protocol, outcome);
        if let Some(Some(errors)) = self.errors_by.get(outcome as usize) {
            errors.inc();
        } else if status.is_some_and(|status| status.is_server_error()) {
            self.server_errors.inc();
        }
        if let Some(status) = status {
            inc(&self.responses_by, usize::from(status.as_u16() / 100).saturating_sub(1));
        }
        // What has left HTTP lasts for as long as both sides like.
        let is_request = protocol.is_http() && status != Some(StatusCode::SWITCHING_PROTOCOLS);
        match self.durations.get(door as usize).filter(|_| is_request) {
            Some(durations) => durations.observe(duration),
            None => self.relays.observe(duration),
        }
        inc_by(&self.received_by, protocol as usize, exchange.request_bytes);
        inc_by(&self.sent_by, protocol as usize, exchange.response_bytes);
        if exchange.attempts > 1 {
            self.retries.inc_by(u64::from(exchange.attempts) - 1);
        }
        if let Some(rule) = &exchange.rule {
            self.rules.inc(rule);
        }
    }

    /// A client's connection was accepted.
    #[must_use]
    pub fn connection(&self, door: Door) -> Option<OpenConnection> {
        let (all, open) = self.connections_by.get(door as usize)?;
        all.inc();
        open.inc();
        Some(OpenConnection(open.clone()))
    }

    /// A question goes to its resolver.
    pub fn question(&self, transport: Transport) {
        inc(&self.dns.questions_by, transport as usize);
    }

    /// A question did not get there.
    pub fn question_lost(&self) {
        self.dns.lost.inc();
    }

    /// An answer came back after so long.
    pub fn answer(&self, took: Duration) {
        self.dns.duration.observe(took);
    }

    /// How many exchanges ended in which way; those that did not occur are left out.
    #[must_use]
    pub fn outcomes(&self) -> BTreeMap<&'static str, u64> {
        let mut outcomes = BTreeMap::new();
        for (index, count) in self.requests_by.iter().enumerate() {
            let outcome = Outcome::ALL.get(index % Outcome::ALL.len());
            if let (Some(outcome), Some(count)) = (outcome, count.get()) {
                *outcomes.entry(outcome.name()).or_default() += count.get();
            }
        }
        outcomes
    }

    /// All of it, for a scrape.
    pub fn collect(&self, families: &mut Families) {
        families.collect(&self.requests);
        families.collect(&self.errors);
        let mut durations = families.histogram(
            "dispa_request_duration_seconds",
            "HTTP requests, from the head to the end of the response.",
        );
        for (door, latency) in Door::ALL.iter().zip(&self.durations) {
            durations.latency(&[("door", door.name())], latency);
        }
        families
            .histogram(
                "dispa_relay_duration_seconds",
                "Connections that were relayed, and those that left HTTP, from accept to close.",
            )
            .latency(&[], &self.relays);
        for counters in [&self.responses, &self.rules.all, &self.received, &self.sent] {
            families.collect(counters);
        }
        families.collect(&self.retries);
        families.collect(&self.connections);
        families.collect(&self.open);
        families.collect(&self.dns.questions);
        families.collect(&self.dns.lost);
        families
            .histogram(
                "dispa_dns_relay_duration_seconds",
                "Questions over UDP, from their arrival to the answer's release.",
            )
            .latency(&[], &self.dns.duration);
    }

    fn request(&self, door: Door, protocol: Protocol, outcome: Outcome) {
        let row = door as usize * Protocol::ALL.len() + protocol as usize;
        let known = self.requests_by.get(row * Outcome::ALL.len() + outcome as usize);
        let labels = [door.name(), protocol.name(), outcome.name()];
        let new = || self.requests.with_label_values(&labels);
        match known {
            Some(known) => known.get_or_init(new).inc(),
            None => new().inc(),
        }
    }
}

fn inc(counters: &[IntCounter], index: usize) {
    inc_by(counters, index, 1);
}

fn inc_by(counters: &[IntCounter], index: usize, count: u64) {
    if let Some(counter) = counters.get(index) {
        counter.inc_by(count);
    }
}

fn cells(count: usize) -> Vec<OnceLock<IntCounter>> {
    (0..count).map(|_| OnceLock::new()).collect()
}

fn children(counters: &IntCounterVec, labels: &[&str]) -> Vec<IntCounter> {
    labels.iter().map(|label| counters.with_label_values(&[label])).collect()
}

fn counter(name: &str, help: &str) -> IntCounter {
    IntCounter::new(name, help).expect("the name is one")
}

fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), labels).expect("the names are some")
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    IntGaugeVec::new(Opts::new(name, help), labels).expect("the names are some")
}

#[cfg(test)]
mod tests;
