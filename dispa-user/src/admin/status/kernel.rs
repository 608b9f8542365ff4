//! Where the daemon listens, and what the kernel's part has done.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use dispa_common::Counter;
use serde::{Deserialize, Serialize};

use crate::state::{Interception, State};

/// Where the daemon listens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoorStatus {
    /// The explicit door, as configured.
    pub explicit: Option<SocketAddr>,
    /// The port of the transparent door on `lo`, for IPv4.
    pub transparent4: Option<u16>,
    /// The same for IPv6.
    pub transparent6: Option<u16>,
    /// The cgroup whose programs are led there.
    pub cgroup: Option<PathBuf>,
    /// Where metrics are, as configured.
    pub metrics: Option<SocketAddr>,
    /// Where health is, as configured.
    pub health: Option<SocketAddr>,
    /// Where the page is, as configured.
    #[serde(default)]
    pub page: Option<SocketAddr>,
}

/// What the kernel's part has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelStatus {
    /// Connections and DNS questions to what it looks for, by what it did with them.
    pub outcomes: BTreeMap<String, u64>,
    /// Slots that stand for a destination.
    pub slots_in_use: usize,
    /// Slots that can be given out.
    pub slots_free: usize,
    /// Names whose addresses are known.
    pub names: usize,
    /// Their addresses, one for each owner.
    pub addresses: usize,
    /// Addresses for which there was no room.
    pub not_learned: u64,
}

impl DoorStatus {
    pub(super) fn of(state: &State) -> Self {
        let monitoring = &state.config.monitoring;
        let interception = state.interception.as_deref();
        let doors = interception.map(Interception::doors);
        let watched = |address| monitoring.enabled.then_some(address);
        Self {
            explicit: Some(state.config.server.bind_address),
            transparent4: doors.map(|doors| doors.port4),
            transparent6: doors.and_then(|doors| doors.door6.map(|(port, _)| port)),
            cgroup: interception.and_then(|it| it.attached()).map(PathBuf::from),
            metrics: watched(monitoring.metrics.address),
            health: watched(monitoring.health.address),
            page: state.config.admin.page.address(),
        }
    }
}

impl KernelStatus {
    pub(super) fn of(interception: &Interception) -> Option<Self> {
        let report = interception.report().ok()?;
        let outcomes = Counter::ALL.into_iter().filter(|it| *it != Counter::Probe);
        let outcomes = outcomes.map(|it| (it.name().to_owned(), report.outcomes.of(it))).collect();
        Some(Self {
            outcomes,
            slots_in_use: report.slots_in_use,
            slots_free: report.slots_free,
            names: report.names,
            addresses: report.addresses,
            not_learned: report.not_learned,
        })
    }
}
