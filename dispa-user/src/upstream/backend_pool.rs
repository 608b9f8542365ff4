//! The backends of a domain, and which of them is next.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue};

use super::{
    Backend,
    sticky::{Key, Sticky},
};
use crate::{
    balance::{Algorithm, Balancer, Lease},
    config::{HashKey, Pool, Scheme, Thresholds},
};

/// The backends that a domain is balanced over.
#[derive(Debug)]
pub struct BackendPool {
    name: Arc<str>,
    members: Vec<Arc<Backend>>,
    balancer: Balancer,
    algorithm: Algorithm,
    /// What a request is hashed by; `None`: it is not.
    key: Option<HashKey>,
    sticky: Option<Sticky>,
    slow_start: Duration,
    since: Instant,
}

/// For whom a backend is picked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Who has the same one gets the same backend, where the pool goes by that.
    pub key: u64,
    /// Which one of the pool it was the last time, as a cookie says.
    pub wish: Option<usize>,
}

impl BackendPool {
    pub(super) fn new(
        pool: &Pool,
        all: &[Arc<Backend>],
        thresholds: &Thresholds,
        since: Instant,
        key: &Key,
        previous: Option<&Self>,
    ) -> Self {
        let members: Vec<_> =
            pool.members.iter().filter_map(|&index| all.get(index).cloned()).collect();
        let balancing = &pool.balancing;
        let places: Vec<_> = members.iter().map(|backend| backend.member()).collect();
        let previous = previous.map(|it| &it.balancer);
        let hashes = matches!(balancing.algorithm, Algorithm::Hash | Algorithm::Sticky);
        let sticky = balancing.sticky.as_ref();
        Self {
            name: Arc::clone(&pool.name),
            balancer: Balancer::new(balancing.algorithm, places, previous),
            algorithm: balancing.algorithm,
            key: hashes.then(|| balancing.key.clone()),
            sticky: sticky.map(|cookie| Sticky::new(cookie, key, &pool.name, &members)),
            slow_start: thresholds.slow_start,
            members,
            since,
        }
    }

    /// Whether `pool` is this one, perhaps with another list.
    pub(super) fn continues_in(&self, pool: &Pool) -> bool {
        self.name == pool.name && self.algorithm == pool.balancing.algorithm
    }

    /// The tag of its backends; `default` for the list of targets.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How exchanges are spread.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its backends.
    #[must_use]
    pub fn members(&self) -> &[Arc<Backend>] {
        &self.members
    }

    /// What a request is to be hashed by; `None`: it need not be.
    #[must_use]
    pub fn key(&self) -> Option<&HashKey> {
        self.key.as_ref()
    }

    /// Whether any of its backends speaks `scheme`.
    #[must_use]
    pub fn speaks(&self, scheme: Scheme) -> bool {
        self.members.iter().any(|backend| backend.scheme == scheme)
    }

    /// Those that answer beside `backend`.
    pub(super) fn others_like(&self, backend: &Backend) -> impl Iterator<Item = &Arc<Backend>> {
        let (number, scheme) = (backend.number, backend.scheme);
        let all = self.members.iter().filter(move |it| it.number != number && it.scheme == scheme);
        all.filter(|it| it.weight > 0)
    }

    /// The next backend that `suits`, busy while the lease lives; `None` where none is up. One that is
    /// coming back is spared, one that has no room, is a backup, or was ejected is used if there is no
    /// other.
    #[must_use]
    pub fn pick(
        &self,
        wanted: Wanted,
        suits: impl Fn(&Backend) -> bool,
        has_room: impl Fn(&Backend) -> bool,
    ) -> Option<(&Arc<Backend>, Lease)> {
        let now = self.since.elapsed();
        let is_fit = |it: &Backend| suits(it) && it.is_fit(now);
        let wish = |backup| {
            let wish = wanted.wish.and_then(|index| self.members.get(index));
            wish.filter(|it| it.backup == backup && is_fit(it))
        };
        let next = |takes: &dyn Fn(&Backend) -> bool| {
            let is_usable = |index: usize| self.members.get(index).is_some_and(|it| takes(it));
            self.members.get(self.balancer.pick(wanted.key, now, is_usable)?)
        };
        let spares = |it: &Backend| self.spares(it, wanted.key, now);
        // A request can wait for a connection; one that is handed on as it is cannot.
        let can_wait = |it: &Backend| it.scheme == Scheme::Http || has_room(it);
        let backend = wish(false)
            .or_else(|| next(&|it| !it.backup && is_fit(it) && has_room(it) && !spares(it)))
            .or_else(|| next(&|it| !it.backup && is_fit(it) && has_room(it)))
            .or_else(|| wish(true))
            .or_else(|| next(&|it| it.backup && is_fit(it) && has_room(it)))
            .or_else(|| next(&|it| is_fit(it) && can_wait(it)))
            // Who failed before is better than nobody.
            .or_else(|| next(&|it| suits(it) && it.is_up() && can_wait(it)))?;
        Some((backend, Lease::new(&backend.load)))
    }

    /// Whether this key is not among those that `backend` gets as long as it starts slowly.
    fn spares(&self, backend: &Backend, key: u64, now: Duration) -> bool {
        if self.slow_start.is_zero() {
            return false;
        }
        let share = backend.health.share(now, self.slow_start);
        #[expect(clippy::cast_precision_loss, reason = "32 bits are held exactly")]
        let place = (key.wrapping_mul(backend.identity | 1) >> 32) as f64 / (1_u64 << 32) as f64;
        place >= share
    }

    /// The backend of the pool that a client's cookie names.
    #[must_use]
    pub fn wish(&self, request: &HeaderMap) -> Option<usize> {
        self.sticky.as_ref()?.wish(request)
    }

    /// The Set-Cookie by which a client stays with `backend`, unless that was its `wish` already.
    #[must_use]
    pub fn cookie(&self, backend: &Backend, wish: Option<usize>) -> Option<HeaderValue> {
        let sticky = self.sticky.as_ref()?;
        let index = self.members.iter().position(|it| it.number == backend.number)?;
        (wish != Some(index)).then(|| sticky.cookie(index)).flatten()
    }
}
