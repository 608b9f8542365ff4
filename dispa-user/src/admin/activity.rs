//! What the exchanges of a while came to: in all, and by domain, target and process.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    exchange::{Exchange, Summary},
    types::HostName,
};

/// Names of a kind that are told apart; the rest are counted together.
const MOST_NAMES: usize = 1_000;

/// What the rest are called.
const OTHERS: &str = "(others)";

/// What an exchange without a name is called.
const NOBODY: &str = "-";

/// What the exchanges of a while came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// How long it was.
    pub seconds: f64,
    /// Exchanges that are left out, for there were too many.
    pub missed: u64,
    /// All of them.
    pub total: Figures,
    /// By the host that was asked for.
    pub domains: Vec<Named>,
    /// By the target that answered.
    pub targets: Vec<Named>,
    /// By the name of the process.
    pub processes: Vec<Named>,
}

/// What some exchanges came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// How many.
    pub requests: u64,
    /// How many of them failed.
    pub errors: u64,
    /// Half of them were over within this time.
    pub p50_ms: Option<f64>,
    /// All but one in a hundred were.
    pub p99_ms: Option<f64>,
    /// Bytes of request bodies.
    pub request_bytes: u64,
    /// Bytes of response bodies.
    pub response_bytes: u64,
}

/// What those of one name came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// The host, target or process.
    pub name: String,
    /// What they came to.
    pub figures: Figures,
}

/// The exchanges of a while.
#[derive(Debug, Default)]
pub(super) struct Window {
    total: Summary,
    domains: Group,
    targets: Group,
    processes: Group,
}

type Group = HashMap<String, Summary>;

impl Window {
    pub(super) fn add(&mut self, exchange: &Exchange) {
        self.total.add(exchange);
        let process = exchange.process.as_ref();
        let process =
            process.map(|it| it.name.as_deref().map_or_else(|| it.pid.to_string(), str::to_owned));
        add(&mut self.domains, exchange.host.as_ref().map(HostName::as_str), exchange);
        add(&mut self.targets, exchange.target.as_deref(), exchange);
        add(&mut self.processes, process.as_deref(), exchange);
    }

    /// What they came to in `lasted`.
    pub(super) fn end(self, lasted: Duration, missed: u64) -> Activity {
        Activity {
            seconds: lasted.as_secs_f64(),
            missed,
            total: Figures::of(&self.total),
            domains: named(self.domains),
            targets: named(self.targets),
            processes: named(self.processes),
        }
    }
}

fn add(group: &mut Group, name: Option<&str>, exchange: &Exchange) {
    let name = name.unwrap_or(NOBODY);
    let name = if group.len() < MOST_NAMES || group.contains_key(name) { name } else { OTHERS };
    match group.get_mut(name) {
        Some(summary) => summary.add(exchange),
        None => group.entry(name.to_owned()).or_default().add(exchange),
    }
}

/// The busiest first.
fn named(group: Group) -> Vec<Named> {
    let named = group.into_iter();
    let mut named: Vec<_> =
        named.map(|(name, summary)| Named { name, figures: Figures::of(&summary) }).collect();
    named.sort_by(|a, b| {
        b.figures.requests.cmp(&a.figures.requests).then_with(|| a.name.cmp(&b.name))
    });
    named
}

impl Figures {
    fn of(summary: &Summary) -> Self {
        let quantile = |share| summary.quantile(share).map(|it| it.as_secs_f64() * 1e3);
        Self {
            requests: summary.count,
            errors: summary.errors,
            p50_ms: quantile(500),
            p99_ms: quantile(990),
            request_bytes: summary.request_bytes,
            response_bytes: summary.response_bytes,
        }
    }
}
