//! One server that can answer, and what it is going through.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::HeaderValue;

use super::{
    health::Health,
    tally::{Attempt, Tally, Totals},
};
use crate::{
    balance::{Load, Member, key_of},
    config::{HostField, Protocol, Scheme, Target, TargetAuthority, UpstreamConnections},
    metrics::Latency,
    types::HostName,
};

/// One server that can answer.
#[derive(Clone, Debug)]
pub struct Backend {
    /// From 1; what the kernel side and kept connections know it by. Never another one's.
    pub number: u32,
    /// As configured.
    pub name: Arc<str>,
    /// What it speaks.
    pub scheme: Scheme,
    /// Which HTTP it speaks.
    pub protocol: Protocol,
    /// A name or an address.
    pub host: HostName,
    /// The address, where `host` is one.
    pub address: Option<IpAddr>,
    /// The Host it is told; none if it is the client's.
    pub host_field: Option<HeaderValue>,
    /// TCP port.
    pub port: u16,
    /// Both, as the configuration has them.
    pub authority: TargetAuthority,
    /// Its share; 0: none.
    pub weight: u32,
    /// The most connections to it, of all workers.
    pub max_connections: usize,
    /// Whether it answers only where no other one can.
    pub backup: bool,
    /// Longest time to the beginning of its response.
    pub timeout: Duration,
    /// What it is told by, whatever its number.
    pub(super) identity: u64,
    /// These outlast a change of the configuration.
    pub(super) health: Arc<Health>,
    pub(super) load: Arc<Load>,
    pub(super) tally: Arc<Tally>,
}

impl Backend {
    /// A backend that goes on as `previous`, if it was there before.
    pub(super) fn new(
        target: &Target,
        timeout: Duration,
        limits: &UpstreamConnections,
        number: u32,
        previous: Option<&Self>,
    ) -> Self {
        let host_field = match target.host {
            HostField::Keep => None,
            HostField::Target => HeaderValue::from_str(&target.authority.to_string()).ok(),
        };
        Self {
            number: previous.map_or(number, |it| it.number),
            name: Arc::clone(&target.name),
            scheme: target.scheme,
            protocol: target.protocol,
            host: target.authority.host.clone(),
            address: target.authority.host.ip(),
            host_field,
            port: target.authority.port,
            authority: target.authority.clone(),
            weight: target.weight,
            max_connections: target.max_connections.unwrap_or(limits.max_per_target),
            backup: target.backup,
            timeout: target.timeout.unwrap_or(timeout),
            identity: identity(target),
            health: previous.map(|it| Arc::clone(&it.health)).unwrap_or_default(),
            load: previous.map(|it| Arc::clone(&it.load)).unwrap_or_default(),
            tally: previous.map(|it| Arc::clone(&it.tally)).unwrap_or_default(),
        }
    }

    /// Exchanges under way.
    #[must_use]
    pub fn under_way(&self) -> u32 {
        self.load.outstanding()
    }

    /// How long its answers take at their slowest of late; `None` before the first.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.load.latency()
    }

    /// What was counted since it was first configured.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.tally.totals()
    }

    /// How long it took to begin its answers.
    #[must_use]
    pub fn answers(&self) -> &Latency {
        &self.tally.answers
    }

    /// A request, or a connection, is to be its.
    pub fn note_taken(&self) {
        self.tally.taken();
    }

    /// An attempt to connect to it begins.
    pub(super) fn attempt(&self) -> Attempt<'_> {
        self.tally.attempt()
    }

    pub(super) fn member(&self) -> Member {
        let Self { identity, weight, .. } = *self;
        Member { identity, weight, load: Arc::clone(&self.load) }
    }

    /// Whether probes have nothing against it.
    pub(super) fn is_up(&self) -> bool {
        self.health.is_up()
    }

    pub(super) fn is_fit(&self, now: Duration) -> bool {
        self.health.is_up() && !self.health.is_ejected(now)
    }

    /// Whether there are less exchanges under way than one of so many workers may have connections.
    #[must_use]
    pub fn has_room(&self, workers: usize) -> bool {
        let outstanding = usize::try_from(self.load.outstanding()).unwrap_or(usize::MAX);
        outstanding < self.share(workers)
    }

    /// How many connections one of so many workers may have.
    pub(super) fn share(&self, workers: usize) -> usize {
        self.max_connections.div_ceil(workers.max(1))
    }
}

/// The same for the same server under the same name.
pub(super) fn identity(target: &Target) -> u64 {
    key_of(format!("{} {}", target.name, target.authority).as_bytes())
}
