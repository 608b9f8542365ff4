//! Whether the daemon is well, part by part.

use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;

use super::Vitals;
use crate::{
    life::Phase,
    state::{PathStanding, State},
    upstream::Standing,
};

/// A worker that was silent for so long is taken for dead by the kernel's programs, too.
const LONGEST_SILENCE: Duration = Duration::from_secs(1);

/// What `/health` answers.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    status: Condition,
    timestamp: Timestamp,
    version: &'static str,
    /// Seconds.
    uptime: u64,
    components: Components,
}

#[derive(Debug, Serialize)]
struct Components {
    /// Every worker turns, and takes connections.
    proxy_server: Condition,
    /// Connections are redirected and arrive.
    interception: Condition,
    /// Every pool has a target that is fit.
    load_balancer: Condition,
    /// Exchanges are written down.
    traffic_logger: Condition,
    /// Metrics can be asked for, and what they are made of can be read.
    metrics_collector: Condition,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Condition {
    Healthy,
    Unhealthy,
    /// It is not asked for, which is no illness.
    Disabled,
}

impl Condition {
    const fn when(healthy: bool) -> Self {
        if healthy { Self::Healthy } else { Self::Unhealthy }
    }
}

impl Vitals {
    /// Whether connections that come now are served.
    pub(super) fn is_ready(&self) -> bool {
        self.stopped.phase() == Phase::Running && self.silence() < LONGEST_SILENCE
    }
}

impl Health {
    /// How it is now.
    pub(super) fn of(vitals: &Vitals) -> Self {
        let state = vitals.live.state();
        let components = Components {
            proxy_server: Condition::when(vitals.is_ready()),
            interception: interception(&state),
            load_balancer: Condition::when(every_pool_answers(&state)),
            traffic_logger: traffic_logger(&state),
            metrics_collector: if vitals.serves_metrics {
                let kernel = state.interception.as_ref();
                Condition::when(kernel.is_none_or(|kernel| kernel.report().is_ok()))
            } else {
                Condition::Disabled
            },
        };
        let now = Timestamp::now();
        Self {
            status: Condition::when(components.are_well()),
            // What is smaller than a second is noise.
            timestamp: Timestamp::from_second(now.as_second()).unwrap_or(now),
            version: env!("CARGO_PKG_VERSION"),
            uptime: state.since.elapsed().as_secs(),
            components,
        }
    }

    /// What a program that reads no JSON goes by.
    pub(super) const fn status_code(&self) -> StatusCode {
        match self.status {
            Condition::Healthy | Condition::Disabled => StatusCode::OK,
            Condition::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Components {
    fn are_well(&self) -> bool {
        let Self { proxy_server, interception, load_balancer, traffic_logger, metrics_collector } =
            *self;
        ![proxy_server, interception, load_balancer, traffic_logger, metrics_collector]
            .contains(&Condition::Unhealthy)
    }
}

/// Well unless something is known to be wrong.
fn interception(state: &State) -> Condition {
    state.interception.as_ref().map_or(Condition::Disabled, |interception| {
        Condition::when(interception.path().finding().standing != PathStanding::Broken)
    })
}

/// Well as long as nothing keeps any sink from writing.
fn traffic_logger(state: &State) -> Condition {
    state.ledger.traffic_log().map_or(Condition::Disabled, |log| {
        Condition::when(log.accounts().iter().all(|accounts| accounts.trouble.is_none()))
    })
}

/// Whether every pool that has targets has one that nothing is known against.
fn every_pool_answers(state: &State) -> bool {
    state.backends.pools().iter().map(crate::upstream::BackendPool::members).all(|members| {
        members.is_empty() || members.iter().any(|it| state.backends.standing(it) == Standing::Up)
    })
}
