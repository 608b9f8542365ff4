//! What the exchanges, connections and DNS of one worker add to.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::StatusCode;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use super::{
    Families, Latency,
    rules::{NamedRules, RuleCounts},
};
use crate::{
    exchange::{Exchange, Protocol},
    types::{Door, Outcome},
};

/// Why an exchange with this outcome is an error, if it is one: those that are not by themselves were
/// answered with one.
const fn cause(outcome: Outcome) -> &'static str {
    if outcome.is_error() { outcome.name() } else { "server_error" }
}

/// The classes of statuses, by their first digit.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What one worker counts of traffic.
#[derive(Debug)]
pub(super) struct Traffic {
    requests: Requests,
    /// By outcome.
    errors: Counters,
    responses: Counters,
    /// By door.
    durations: [Latency; Door::ALL.len()],
    relays: Latency,
    received: Counters,
    sent: Counters,
    retries: IntCounter,
    rules: RuleCounts,
    connections: Counters,
    open: IntGaugeVec,
    /// The same by door.
    open_by: Vec<IntGauge>,
    dns: Dns,
}

/// Requests by door, protocol and outcome.
#[derive(Debug)]
struct Requests {
    all: IntCounterVec,
    /// Those that have occurred, in this order.
    by: Vec<OnceLock<IntCounter>>,
}

/// One counter for each value of a label. They are there from the start: a count that begins at 1 has no
/// rate.
#[derive(Debug)]
struct Counters {
    all: IntCounterVec,
    by: Vec<IntCounter>,
}

/// What is counted of DNS.
#[derive(Debug)]
struct Dns {
    questions: Counters,
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

impl Traffic {
    /// Which rules have a count of their own, all workers agree upon.
    pub(super) fn new(named: &Arc<NamedRules>) -> Self {
        let (doors, protocols) = (Door::ALL.map(Door::name), Protocol::ALL.map(Protocol::name));
        let open = Opts::new("dispa_active_connections", "Connections of clients that are open.");
        let open = IntGaugeVec::new(open, &["door"]).expect("the names are some");
        let rules = counter_vec(
            "dispa_rule_requests_total",
            "Requests and relayed connections by the pattern that matched.",
            &["rule"],
        );
        Self {
            requests: Requests::default(),
            errors: Counters::new(
                "dispa_requests_errors_total",
                "Those that went wrong, and why: an outcome, or server_error where a target answered with a status of 500 or more.",
                "cause",
                &Outcome::ALL.map(cause),
            ),
            responses: Counters::new(
                "dispa_responses_total",
                "Statuses that clients were sent.",
                "status",
                &CLASSES,
            ),
            durations: Default::default(),
            relays: Latency::long(),
            received: Counters::new(
                "dispa_client_received_bytes_total",
                "From clients, of exchanges that have ended: bodies of HTTP, else all bytes.",
                "protocol",
                &protocols,
            ),
            sent: Counters::new(
                "dispa_client_sent_bytes_total",
                "To clients, of exchanges that have ended: bodies of HTTP, else all bytes.",
                "protocol",
                &protocols,
            ),
            retries: counter(
                "dispa_retries_total",
                "Further targets that were tried for a request.",
            ),
            rules: RuleCounts::new(rules, named),
            connections: Counters::new(
                "dispa_connections_total",
                "Connections of clients accepted.",
                "door",
                &doors,
            ),
            open_by: doors.iter().map(|door| open.with_label_values(&[door])).collect(),
            open,
            dns: Dns::default(),
        }
    }
}

impl Default for Requests {
    fn default() -> Self {
        let all = counter_vec(
            "dispa_requests_total",
            "HTTP requests, and connections that were relayed, that have ended.",
            &["door", "protocol", "outcome"],
        );
        let count = Door::ALL.len() * Protocol::ALL.len() * Outcome::ALL.len();
        Self { all, by: (0..count).map(|_| OnceLock::new()).collect() }
    }
}

impl Requests {
    fn inc(&self, door: Door, protocol: Protocol, outcome: Outcome) {
        let row = door as usize * Protocol::ALL.len() + protocol as usize;
        let labels = [door.name(), protocol.name(), outcome.name()];
        let new = || self.all.with_label_values(&labels);
        match self.by.get(row * Outcome::ALL.len() + outcome as usize) {
            Some(known) => known.get_or_init(new).inc(),
            None => new().inc(),
        }
    }

    fn outcomes(&self) -> BTreeMap<&'static str, u64> {
        let mut outcomes = BTreeMap::new();
        for (count, outcome) in self.by.iter().zip(Outcome::ALL.iter().cycle()) {
            if let Some(count) = count.get() {
                *outcomes.entry(outcome.name()).or_default() += count.get();
            }
        }
        outcomes
    }
}

impl Counters {
    fn new(name: &str, help: &str, label: &str, values: &[&str]) -> Self {
        let all = counter_vec(name, help, &[label]);
        let by = values.iter().map(|value| all.with_label_values(&[value])).collect();
        Self { all, by }
    }

    /// That of the value at this place.
    fn add(&self, index: usize, count: u64) {
        if let Some(counter) = self.by.get(index) {
            counter.inc_by(count);
        }
    }
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            questions: Counters::new(
                "dispa_dns_questions_total",
                "Questions of programs that were relayed to their resolvers.",
                "transport",
                &Transport::ALL.map(Transport::name),
            ),
            lost: counter(
                "dispa_dns_lost_total",
                "Questions over UDP that could not be sent, or were refused.",
            ),
            duration: Latency::quick(),
        }
    }
}

impl Traffic {
    /// An exchange is over.
    pub(super) fn exchange(&self, exchange: &Exchange) {
        let Exchange { door, protocol, outcome, status, duration, .. } = *exchange;
        self.requests.inc(door, protocol, outcome);
        if let Some(status) = status {
            let class = usize::from(status.as_u16() / 100);
            self.responses.add(class.saturating_sub(1), 1);
        }
        if exchange.is_error() {
            self.errors.add(outcome as usize, 1);
        }
        // What has left HTTP lasts for as long as both sides like.
        let is_request = protocol.is_http() && status != Some(StatusCode::SWITCHING_PROTOCOLS);
        match self.durations.get(door as usize).filter(|_| is_request) {
            Some(durations) => durations.observe(duration),
            None => self.relays.observe(duration),
        }
        self.received.add(protocol as usize, exchange.request_bytes);
        self.sent.add(protocol as usize, exchange.response_bytes);
        if exchange.attempts > 1 {
            self.retries.inc_by(u64::from(exchange.attempts) - 1);
        }
        if let Some(rule) = &exchange.rule {
            self.rules.inc(rule);
        }
    }

    /// A client's connection was accepted.
    pub(super) fn connection(&self, door: Door) -> Option<OpenConnection> {
        self.connections.add(door as usize, 1);
        let open = self.open_by.get(door as usize)?;
        open.inc();
        Some(OpenConnection(open.clone()))
    }

    /// A question goes to its resolver.
    pub(super) fn question(&self, transport: Transport) {
        self.dns.questions.add(transport as usize, 1);
    }

    /// A question did not get there.
    pub(super) fn question_lost(&self) {
        self.dns.lost.inc();
    }

    /// An answer came back after so long.
    pub(super) fn answer(&self, took: Duration) {
        self.dns.duration.observe(took);
    }

    /// How many exchanges were errors.
    pub(super) fn errors(&self) -> u64 {
        // Several outcomes have one cause, and one counter.
        let mut causes = HashSet::new();
        let counts = Outcome::ALL.into_iter().zip(&self.errors.by);
        counts.filter(|(outcome, _)| causes.insert(cause(*outcome))).map(|it| it.1.get()).sum()
    }

    /// How many exchanges ended in which way; those that did not occur are left out.
    pub(super) fn outcomes(&self) -> BTreeMap<&'static str, u64> {
        self.requests.outcomes()
    }

    /// All of it, for a scrape.
    pub(super) fn collect(&self, families: &mut Families) {
        families.collect(&self.requests.all);
        families.collect(&self.errors.all);
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
        families.collect(&self.responses.all);
        families.collect(&self.rules.all);
        families.collect(&self.received.all);
        families.collect(&self.sent.all);
        families.collect(&self.retries);
        families.collect(&self.connections.all);
        families.collect(&self.open);
        families.collect(&self.dns.questions.all);
        families.collect(&self.dns.lost);
        families
            .histogram(
                "dispa_dns_relay_duration_seconds",
                "Questions over UDP, from their arrival to the answer's release.",
            )
            .latency(&[], &self.dns.duration);
    }
}

fn counter(name: &str, help: &str) -> IntCounter {
    IntCounter::new(name, help).expect("the name is one")
}

fn counter_vec(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), labels).expect("the names are some")
}
