//! How a running daemon's pools are at one moment.

use std::{collections::BTreeMap, fmt, time::UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::setup::url_of;
use crate::{
    attribution::{Attribution, Counts},
    sink::Accounts,
    state::{Interception, Last, State},
    upstream::{Backend, BackendPool, Standing},
};

/// How a running daemon's pools are. Its JSON is what the socket answers and `--json` prints.
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
    /// Exchanges and relayed connections that have ended, by their outcome.
    #[serde(default)]
    pub outcomes: BTreeMap<String, u64>,
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

/// Connections at the transparent door, by what is known of the program that made them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributionCounts {
    /// The process is known.
    pub attributed: u64,
    /// Of those: it was gone before its name was read.
    pub unnamed: u64,
    /// The process is not known.
    pub unknown: u64,
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
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: state.since.elapsed().as_secs(),
            generation: state.generation,
            last_reload: ReloadStatus::of(last),
            outcomes: outcomes(state),
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
        let Counts { attributed, unnamed, unknown } = attribution.counts();
        Self { attributed, unnamed, unknown }
    }
}

fn outcomes(state: &State) -> BTreeMap<String, u64> {
    let outcomes = state.ledger.metrics.outcomes().into_iter();
    outcomes.map(|(name, count)| (name.to_owned(), count)).collect()
}

impl ReloadStatus {
    fn of(last: &Last) -> Option<Self> {
        let at = last.at?.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Some(Self { at, error: last.error.clone(), refused: last.refused })
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

/// The columns of the table for people.
const COLUMNS: [&str; 10] = [
    "target",
    "state",
    "weight",
    "under way",
    "good",
    "errors",
    "failures",
    "latency",
    "out / in",
    "rtt",
];

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "dispa {}, up for {}", self.version, span(self.uptime_seconds))?;
        if let Some(error) = self.last_reload.as_ref().and_then(|it| it.error.as_ref()) {
            writeln!(f, "the last reload was refused, an older configuration counts:\n{error}")?;
        }
        if let Some(reason) = &self.not_counted {
            writeln!(f, "bytes and round trip times are not counted: {reason}")?;
        }
        if !self.outcomes.is_empty() {
            let ended = self.outcomes.iter().map(|(name, count)| format!("{count} {name}"));
            writeln!(f, "exchanges: {}", ended.collect::<Vec<_>>().join(", "))?;
        }
        if self.retries_refused > 0 {
            writeln!(f, "not repeated, for too many were: {} requests", self.retries_refused)?;
        }
        if let Some(AttributionCounts { attributed, unknown: unknown @ 1.., .. }) = self.attribution
        {
            writeln!(f, "programs that connected: {attributed} times known, {unknown} times not")?;
        }
        for accounts in &self.traffic_log {
            writeln!(f, "traffic log, {accounts}")?;
        }
        for pool in self.pools.iter().filter(|pool| !pool.targets.is_empty()) {
            writeln!(f, "\npool {} ({})", pool.name, pool.balancing)?;
            table(f, pool.targets.iter().map(TargetStatus::row))?;
        }
        Ok(())
    }
}

impl TargetStatus {
    fn row(&self) -> [String; COLUMNS.len()] {
        let Exchanges { good, errors, failures } = &self.exchanges;
        let nothing = || "-".to_owned();
        let kernel = self.connections.kernel.as_ref();
        let latency = |ms: f64| format!("{ms:.1} ms");
        let moved = |it: &KernelCounts| format!("{} / {}", size(it.bytes_out), size(it.bytes_in));
        [
            self.name.clone(),
            if self.backup { format!("{}, backup", self.state) } else { self.state.clone() },
            self.weight.to_string(),
            self.under_way.to_string(),
            good.to_string(),
            errors.to_string(),
            failures.to_string(),
            self.latency_ms.map_or_else(nothing, latency),
            kernel.map_or_else(nothing, moved),
            kernel
                .filter(|it| it.rtt_us > 0)
                .map_or_else(nothing, |it| format!("{} us", it.rtt_us)),
        ]
    }
}

/// Writes the rows below the names of their columns, each column as wide as need be.
fn table(
    f: &mut fmt::Formatter<'_>,
    rows: impl Iterator<Item = [String; COLUMNS.len()]>,
) -> fmt::Result {
    let rows: Vec<_> = std::iter::once(COLUMNS.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..COLUMNS.len()).filter_map(width).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        writeln!(f, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// As people say it.
fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match () {
        () if days > 0 => format!("{days} d {} h", hours % 24),
        () if hours > 0 => format!("{hours} h {} min", minutes % 60),
        () if minutes > 0 => format!("{minutes} min {} s", seconds % 60),
        () => format!("{seconds} s"),
    }
}

/// In the largest unit of which there is one.
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = UNITS.into_iter().find(|(_, unit)| bytes >= *unit);
    unit.map_or_else(
        || format!("{bytes} B"),
        |(name, unit)| format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
    )
}

#[cfg(test)]
mod tests {
    use super::{
        AttributionCounts, Connections, Exchanges, KernelCounts, PoolStatus, Status, TargetStatus,
    };
    use crate::{
        config::{Config, Overrides},
        sink::Accounts,
        state::{Last, State},
    };

    fn target(name: &str) -> TargetStatus {
        TargetStatus {
            name: name.to_owned(),
            url: "http://10.0.0.1:80".to_owned(),
            weight: 1,
            backup: false,
            state: "up".to_owned(),
            under_way: 3,
            latency_ms: Some(12.34),
            exchanges: Exchanges { good: 1_000, errors: 2, failures: 0 },
            connections: Connections {
                opened: 7,
                failed: 1,
                kernel: Some(KernelCounts {
                    closed: 4,
                    bytes_out: 1_500,
                    bytes_in: 3 << 30,
                    retransmits: 0,
                    rtt_us: 80,
                }),
            },
        }
    }

    #[test]
    fn as_people_read_it() {
        let idle = TargetStatus {
            backup: true,
            state: "ejected".to_owned(),
            latency_ms: None,
            connections: Connections { opened: 0, failed: 0, kernel: None },
            ..target("another one")
        };
        let empty = PoolStatus {
            name: "default".to_owned(),
            balancing: "roundrobin".to_owned(),
            targets: Vec::new(),
        };
        let pool = PoolStatus {
            name: "b".to_owned(),
            targets: vec![target("one"), idle],
            ..empty.clone()
        };
        let status = Status {
            version: "0.1.0".to_owned(),
            uptime_seconds: 93_784,
            generation: 1,
            last_reload: None,
            outcomes: [("ok".to_owned(), 7), ("relayed".to_owned(), 2)].into(),
            retries_refused: 5,
            attribution: Some(AttributionCounts { attributed: 12, unnamed: 1, unknown: 2 }),
            not_counted: None,
            traffic_log: vec![Accounts {
                sink: "file".to_owned(),
                place: "./logs".to_owned(),
                observed: 10,
                written: 6,
                queued: 1,
                dropped: [("disk_full".to_owned(), 3)].into(),
                ..Accounts::default()
            }],
            pools: vec![empty, pool],
        };
        assert_eq!(
            format!("\n{status}"),
            "
dispa 0.1.0, up for 1 d 2 h
exchanges: 7 ok, 2 relayed
not repeated, for too many were: 5 requests
programs that connected: 12 times known, 2 times not
traffic log, file ./logs: 10 observed = 6 written + 1 queued + 0 spilled + 3 dropped (3 disk_full)

pool b (roundrobin)
  target       state            weight  under way  good  errors  failures  latency  out / in           rtt
  one          up               1       3          1000  2       0         12.3 ms  1.4 KiB / 3.0 GiB  80 us
  another one  ejected, backup  1       3          1000  2       0         -        -                  -
"
        );
    }

    #[test]
    fn a_daemon_tells_of_every_pool() {
        let text = "
[[targets.targets]]
name = 'one'
url = 'https://one.test'
[[backends]]
id = 'two'
address = 'two.test:81'
tags = ['t']
weight = 4
[[virtual_hosts]]
domain = 'a.test'
enabled_backends_tag = 't'
";
        let config = Config::parse(text, "c.toml", &Overrides::default()).expect("valid");
        let status =
            Status::of(&State::new(&config, None, std::sync::Arc::default()), &Last::default());
        assert_eq!(status.not_counted.as_deref(), Some("interception is off"));
        let json = serde_json::to_string(&status).expect("serialises");
        assert_eq!(serde_json::from_str::<Status>(&json).expect("reads"), status);
        let told: Vec<_> = status
            .pools
            .iter()
            .flat_map(|pool| pool.targets.iter().map(move |it| (pool.name.as_str(), it)))
            .map(|(pool, it)| (pool, it.name.as_str(), it.url.as_str(), it.weight, &*it.state))
            .collect();
        assert_eq!(
            told,
            [
                ("default", "one", "https://one.test:443", 1, "up"),
                ("t", "two", "http://two.test:81", 4, "up")
            ]
        );
    }
}
