//! The backends of a configuration and the order they are used in.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::HeaderValue;

use super::health::Health;
use crate::{
    balance::{Algorithm, Balancer, Lease, key_of},
    config::{HostField, Protocol, Scheme, Target, TargetAuthority, Thresholds},
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
    /// Both, as the configuration has them.
    pub authority: TargetAuthority,
    /// Its share; 0: none.
    pub weight: u32,
    /// Longest time to the beginning of its response.
    pub timeout: Duration,
}

/// All backends, the balancer that chooses among them, and what is known of their health.
#[derive(Debug)]
pub struct Pool {
    backends: Vec<Backend>,
    balancer: Arc<Balancer>,
    health: Vec<Health>,
    /// Held while it is decided whether one more may be ejected.
    ejecting: Mutex<()>,
    /// When all this began.
    since: Instant,
}

impl Pool {
    /// The pool of all configured targets, which have `timeout` unless they say otherwise.
    #[must_use]
    pub fn new(
        targets: &[Target],
        algorithm: Algorithm,
        timeout: Duration,
        thresholds: Thresholds,
    ) -> Self {
        let weights: Vec<u32> = targets.iter().map(|target| target.weight).collect();
        let backends =
            (1..).zip(targets).map(|(number, target)| Backend::new(number, target, timeout));
        let identity = |it: &Target| key_of(format!("{} {}", it.name, it.authority).as_bytes());
        let identities: Vec<u64> = targets.iter().map(identity).collect();
        let balancer = Arc::new(Balancer::new(algorithm, &identities, &weights));
        let health = targets.iter().map(|_| Health::new(thresholds)).collect();
        let (ejecting, since) = (Mutex::new(()), Instant::now());
        Self { backends: backends.collect(), balancer, health, ejecting, since }
    }

    /// The next healthy backend that `suits`, for a client of this address, busy while the lease
    /// lives; `None` where there is none.
    #[must_use]
    pub fn pick(
        &self,
        client: IpAddr,
        suits: impl Fn(&Backend) -> bool,
    ) -> Option<(&Backend, Lease)> {
        let now = self.since.elapsed();
        let usable = |index: usize| match (self.backends.get(index), self.health.get(index)) {
            (Some(backend), Some(health)) => {
                suits(backend) && health.is_up() && !health.is_ejected(now)
            }
            _ => false,
        };
        let index = self.balancer.pick(key_of_client(client), usable)?;
        Some((self.backends.get(index)?, self.balancer.lease(index)))
    }

    /// Whether any backend speaks `scheme`.
    #[must_use]
    pub fn speaks(&self, scheme: Scheme) -> bool {
        self.backends.iter().any(|backend| backend.scheme == scheme)
    }

    /// All of them, in the order of the configuration.
    #[must_use]
    pub fn backends(&self) -> &[Backend] {
        &self.backends
    }

    /// A probe of `backend` succeeded, or did not.
    pub fn probed(&self, backend: &Backend, result: Result<(), &dyn std::error::Error>) {
        let health = index_of(backend).and_then(|index| self.health.get(index));
        let changed = health.and_then(|health| health.probed(result.is_ok()));
        match (changed, result) {
            (None, _) => {}
            (Some(true), _) => tracing::info!(target = &*backend.name, "healthy"),
            (Some(false), result) => {
                let error = result.err().map(tracing::field::display);
                tracing::warn!(target = &*backend.name, error, "unhealthy");
            }
        }
    }

    /// An exchange with `backend` succeeded after so long, or failed by its fault. For that it is
    /// ejected at most if another one of its kind is fit, and half of them stay.
    pub fn exchanged(&self, backend: &Backend, took: Duration, success: bool) {
        let Some(index) = index_of(backend) else { return };
        let Some(health) = self.health.get(index) else { return };
        let now = self.since.elapsed();
        self.balancer.observe(index, took, success, now);
        if success {
            return health.succeeded(now);
        }
        let _ejecting = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(length) = health.failed(now, || self.can_spare(backend, now)) {
            let seconds = length.as_secs();
            tracing::warn!(target = &*backend.name, seconds, "ejected: it fails again and again");
        }
    }

    fn can_spare(&self, backend: &Backend, now: Duration) -> bool {
        let others = || {
            let all = self.backends.iter().zip(&self.health);
            all.filter(|(it, _)| it.number != backend.number)
                .filter(|(it, _)| it.scheme == backend.scheme && it.weight > 0)
                .map(|(_, health)| health)
        };
        let ejected = others().filter(|health| health.is_ejected(now)).count();
        let fit = others().any(|health| health.is_up() && !health.is_ejected(now));
        fit && 2 * (ejected + 1) <= others().count() + 1
    }
}

/// Backends are numbered from 1.
fn index_of(backend: &Backend) -> Option<usize> {
    usize::try_from(backend.number).ok()?.checked_sub(1)
}

fn key_of_client(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(address) => key_of(&address.octets()),
        IpAddr::V6(address) => key_of(&address.octets()),
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
            authority: target.authority.clone(),
            weight: target.weight,
            timeout: target.timeout.unwrap_or(timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pool;
    use crate::config::{Config, Overrides, Scheme};
    use std::{io, time::Duration};

    const SOON: Duration = Duration::from_millis(1);

    fn pool(targets: &[(&str, u32)]) -> Pool {
        let one = |(number, (url, weight)): (usize, &(&str, u32))| {
            format!(
                "[[targets.targets]]\nname = \"{number}\"\nurl = \"{url}\"\nweight = {weight}\n"
            )
        };
        let text: String = targets.iter().enumerate().map(one).collect();
        let config = Config::parse(&text, "test", &Overrides::default()).expect("valid");
        Pool::new(&config.targets, config.balancing, SOON, config.health.thresholds)
    }

    /// Fails it until it would be ejected; tells whether it was.
    fn fail(pool: &Pool, index: usize) -> bool {
        let backend = &pool.backends()[index];
        for _ in 0..10 {
            pool.exchanged(backend, SOON, false);
        }
        pool.health[index].is_ejected(pool.since.elapsed())
    }

    #[test]
    fn at_most_half_of_a_kind_is_ejected() {
        let pool = pool(&[("http://a", 1), ("http://b", 1), ("http://c", 1), ("http://d", 1)]);
        assert_eq!([0, 1, 2, 3].map(|index| fail(&pool, index)), [true, true, false, false]);
    }

    #[test]
    fn the_only_one_that_is_fit_stays() {
        assert!(!fail(&pool(&[("http://a", 1)]), 0));
        assert!(!fail(&pool(&[("http://a", 1), ("https://b", 1), ("http://c", 0)]), 0));
        let pool = pool(&[("http://a", 1), ("http://b", 1)]);
        pool.probed(&pool.backends()[1], Err(&io::Error::other("down")));
        assert!(!fail(&pool, 0));
        let client = "127.0.0.1".parse().expect("an address");
        let (picked, _lease) = pool.pick(client, |it| it.scheme == Scheme::Http).expect("one");
        assert_eq!(&*picked.name, "0");
    }
}
