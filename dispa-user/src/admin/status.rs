//! How a running daemon is at one moment.

mod domains;
mod kernel;
mod path;
mod text;

use std::{collections::BTreeMap, time::UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::setup::url_of;
use crate::{
    attribution::{Attribution, Counts},
    sink::Accounts,
    state::{Interception, Last, Level, Occupancy, State},
    upstream::{Backend, BackendPool, Standing},
};
pub use domains::DomainStatus;
pub use kernel::{DoorStatus, KernelStatus};
pub use path::PathStatus;

/// How a running daemon is. Its JSON is what the socket answers and `--json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Of the daemon.
    pub version: String,
    /// How long it has been running.
    pub uptime_seconds: u64,
    /// The configuration's number, from 1 at the start.
    #[serde(default)]
    pub generation: u64,
    /// How the last reload went; `None` where there was none.
    #[serde(default)]
    pub last_reload: Option<ReloadStatus>,
    /// Where it listens.
    #[serde(default)]
    pub doors: DoorStatus,
    /// How many clients are connected.
    #[serde(default)]
    pub clients: ClientStatus,
    /// What the kernel's part has done; `None` where interception is off.
    #[serde(default)]
    pub kernel: Option<KernelStatus>,
    /// Whether connections really arrive; `None` where interception is off.
    #[serde(default)]
    pub path: Option<PathStatus>,
    /// What is intercepted, in order; [`Status::more_domains`] are left out.
    #[serde(default)]
    pub domains: Vec<DomainStatus>,
    /// How many domains there are besides.
    #[serde(default)]
    pub more_domains: usize,
    /// Exchanges and relayed connections that have ended, by their outcome.
    #[serde(default)]
    pub outcomes: BTreeMap<String, u64>,
    /// Those of them that were errors of the proxy or of the targets, as `dispa_requests_errors_total` has it.
    #[serde(default)]
    pub errors: u64,
    /// Requests that were not sent a second time, for there had been too many of them.
    pub retries_refused: u64,
    /// How many of the connections' programs are known; `None` where nobody wants to know.
    #[serde(default)]
    pub attribution: Option<AttributionCounts>,
    /// Why the kernel does not count for the targets; `None` where it does.
    pub not_counted: Option<String>,
    /// What became of every record of the traffic log, for each of its sinks.
    #[serde(default)]
    pub traffic_log: Vec<Accounts>,
    /// The pool of the list of targets first.
    pub pools: Vec<PoolStatus>,
}

/// Connections of clients that are open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientStatus {
    /// How many.
    pub open: usize,
    /// How many may be.
    pub most: usize,
    /// Whether new ones are taken: `room` (all), `crowded` (not of those who have half of them) or `full`.
    pub level: String,
    /// What that is for want of, if it is: `descriptors` or `memory`.
    pub short_of: Option<String>,
}

/// Connections at the doors, by what is known of the program that made them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributionCounts {
    /// The process is known.
    pub attributed: u64,
    /// Of those: it was gone before its name was read.
    pub unnamed: u64,
    /// The process is not known, though it may be one of this host.
    pub unknown: u64,
    /// Made from another host, to the explicit door.
    pub remote: u64,
}

/// How a reload went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadStatus {
    /// When, in seconds since 1970.
    pub at: u64,
    /// What was wrong with the configuration; `None` where it counts.
    pub error: Option<String>,
    /// How many were refused since the start.
    pub refused: u64,
    /// The keys that have changed and need a restart: they count as before.
    #[serde(default)]
    pub needs_restart: Vec<String>,
}

/// One pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolStatus {
    /// The tag of its targets; `default` for the list of targets.
    pub name: String,
    /// How exchanges are spread.
    pub balancing: String,
    /// In the order of the configuration.
    pub targets: Vec<TargetStatus>,
}

/// One server that can answer. What is counted is counted in all its pools together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// As configured.
    pub name: String,
    /// `http://host:port` or `https://host:port`.
    pub url: String,
    /// Its share; 0 for none.
    pub weight: u32,
    /// Whether it answers only where no other one can.
    pub backup: bool,
    /// `up`, `down` (probes say so) or `ejected` (requests do).
    pub state: String,
    /// Exchanges under way.
    pub under_way: u32,
    /// How long its answers take at their slowest of late; `None` before the first.
    pub latency_ms: Option<f64>,
    /// Exchanges, by what they were worth.
    pub exchanges: Exchanges,
    /// Connections to it.
    pub connections: Connections,
}

/// Exchanges that have ended, or whose response has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchanges {
    /// Answered well.
    pub good: u64,
    /// Answered with an error of the server's (5xx).
    pub errors: u64,
    /// Failed by its fault, 502 to 504 included.
    pub failures: u64,
}

/// Connections: all that is here is the kernel's account, or, where that does not count, what dispa
/// knows itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// Made.
    pub opened: u64,
    /// Tried, and not made.
    pub failed: u64,
    /// The rest of what the kernel counts.
    pub kernel: Option<KernelCounts>,
}

/// What only the kernel counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelCounts {
    /// Connections that have ended.
    pub closed: u64,
    /// Payload that was acknowledged, in bytes.
    pub bytes_out: u64,
    /// Payload that arrived, in bytes.
    pub bytes_in: u64,
    /// Segments that were sent again.
    pub retransmits: u64,
    /// The smoothed round trip time last seen.
    pub rtt_us: u64,
}

impl Status {
    /// How it is now.
    #[must_use]
    pub fn of(state: &State, last: &Last) -> Self {
        let interception = state.interception.as_ref();
        let not_counted = match interception {
            None => Some("interception is off".to_owned()),
            Some(interception) => interception.why_not_counted().map(str::to_owned),
        };
        let (domains, more_domains) = DomainStatus::all(state);
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: state.since.elapsed().as_secs(),
            generation: state.generation,
            last_reload: ReloadStatus::of(last),
            doors: DoorStatus::of(state),
            clients: ClientStatus::of(state.capacity.occupancy()),
            kernel: interception.and_then(|it| KernelStatus::of(it)),
            path: interception.map(|it| PathStatus::of(it)),
            domains,
            more_domains,
            outcomes: outcomes(state),
            errors: state.ledger.metrics.errors(),
            retries_refused: state.retries_refused(),
            attribution: interception.and_then(|it| it.attribution()).map(AttributionCounts::of),
            not_counted,
            traffic_log: state.ledger.traffic_log().map(|it| it.accounts()).unwrap_or_default(),
            pools: state.backends.pools().iter().map(|pool| PoolStatus::of(pool, state)).collect(),
        }
    }
}

impl AttributionCounts {
    fn of(attribution: &Attribution) -> Self {
        let Counts { attributed, unnamed, unknown, remote } = attribution.counts();
        Self { attributed, unnamed, unknown, remote }
    }
}

impl ClientStatus {
    fn of(it: Occupancy) -> Self {
        let level = match it.level {
            Level::Room => "room",
            Level::Crowded => "crowded",
            Level::Full => "full",
        };
        Self {
            open: it.open,
            most: it.most,
            level: level.to_owned(),
            short_of: it.short_of.map(|it| it.name().to_owned()),
        }
    }
}

fn outcomes(state: &State) -> BTreeMap<String, u64> {
    let outcomes = state.ledger.metrics.outcomes().into_iter();
    outcomes.map(|(name, count)| (name.to_owned(), count)).collect()
}

impl ReloadStatus {
    fn of(last: &Last) -> Option<Self> {
        let at = last.at?.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let needs_restart = last.needs_restart.iter().map(|&key| key.to_owned()).collect();
        Some(Self { at, error: last.error.clone(), refused: last.refused, needs_restart })
    }
}

impl PoolStatus {
    fn of(pool: &BackendPool, state: &State) -> Self {
        Self {
            name: pool.name().to_owned(),
            balancing: pool.algorithm().name().to_owned(),
            targets: pool.members().iter().map(|it| TargetStatus::of(it, state)).collect(),
        }
    }
}

impl TargetStatus {
    fn of(backend: &Backend, state: &State) -> Self {
        let totals = backend.totals();
        let (good, errors, failures) = (totals.good, totals.errors, totals.failures);
        let connections = Connections::of(backend, state.interception.as_deref());
        Self {
            name: backend.name.to_string(),
            url: url_of(backend.scheme, &backend.authority),
            weight: backend.weight,
            backup: backend.backup,
            state: state.backends.standing(backend).name().to_owned(),
            under_way: backend.under_way(),
            latency_ms: backend.latency().map(|latency| latency.as_secs_f64() * 1e3),
            exchanges: Exchanges { good, errors, failures },
            connections,
        }
    }
}

impl Connections {
    fn of(backend: &Backend, interception: Option<&Interception>) -> Self {
        let counts = interception.and_then(|it| it.backend_counts(backend.number).ok().flatten());
        let totals = backend.totals();
        let Some(counts) = counts else {
            return Self { opened: totals.opened, failed: totals.unopened, kernel: None };
        };
        let kernel = KernelCounts {
            closed: counts.closed,
            bytes_out: counts.bytes_out,
            bytes_in: counts.bytes_in,
            retransmits: counts.retransmits,
            rtt_us: counts.rtt_us(),
        };
        Self { opened: counts.opened, failed: counts.failed, kernel: Some(kernel) }
    }
}

impl Standing {
    /// The word that people and machines read.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Ejected => "ejected",
        }
    }
}

#[cfg(test)]
mod tests;
