//! The backends of a configuration and the order they are used in.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::HeaderValue;

use crate::{
    balance::{Algorithm, Balancer, Lease},
    config::{HostField, Protocol, Scheme, Target},
    types::HostName,
};

/// One server that can answer.
#[derive(Clone, Debug)]
pub struct Backend {
    /// From 1, in the order of the configuration; what the kernel side knows it by.
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
    /// Longest time to the beginning of its response.
    pub timeout: Duration,
}

/// All backends, and the balancer that chooses among them.
#[derive(Debug)]
pub struct Pool {
    backends: Vec<Backend>,
    balancer: Arc<Balancer>,
}

impl Pool {
    /// The pool of all configured targets, which have `timeout` unless they say otherwise.
    #[must_use]
    pub fn new(targets: &[Target], algorithm: Algorithm, timeout: Duration) -> Self {
        let weights: Vec<u32> = targets.iter().map(|target| target.weight).collect();
        let backends =
            (1..).zip(targets).map(|(number, target)| Backend::new(number, target, timeout));
        let balancer = Arc::new(Balancer::new(algorithm, &weights));
        Self { backends: backends.collect(), balancer }
    }

    /// The next backend that speaks `scheme`, busy while the lease lives; `None` where there is none.
    #[must_use]
    pub fn pick(&self, scheme: Scheme) -> Option<(&Backend, Lease)> {
        let speaks = |index: usize| self.backends.get(index).is_some_and(|it| it.scheme == scheme);
        let index = self.balancer.pick(speaks)?;
        Some((self.backends.get(index)?, self.balancer.lease(index)))
    }

    /// Whether any backend speaks `scheme`.
    #[must_use]
    pub fn speaks(&self, scheme: Scheme) -> bool {
        self.backends.iter().any(|backend| backend.scheme == scheme)
    }
}

impl Backend {
    fn new(number: u32, target: &Target, timeout: Duration) -> Self {
        let host_field = match target.host {
            HostField::Keep => None,
            HostField::Target => HeaderValue::from_str(&target.authority.to_string()).ok(),
        };
        Self {
            number,
            name: Arc::clone(&target.name),
            scheme: target.scheme,
            protocol: target.protocol,
            host: target.authority.host.clone(),
            address: target.authority.host.ip(),
            host_field,
            port: target.authority.port,
            timeout: target.timeout.unwrap_or(timeout),
        }
    }
}
