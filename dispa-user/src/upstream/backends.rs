//! All backends, and the pools they are in.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    backend::{Backend, identity},
    backend_pool::BackendPool,
    health::{Answers, Worth},
    sticky,
};
use crate::config::{Config, Thresholds};

/// All backends, and the pools they are in.
#[derive(Debug)]
pub struct Backends {
    all: Vec<Arc<Backend>>,
    pools: Vec<BackendPool>,
    /// Indices of the pools of the backend of this number.
    pools_of: HashMap<u32, Vec<usize>>,
    thresholds: Thresholds,
    /// Held while it is decided whether one more may be ejected.
    ejecting: Mutex<()>,
    /// When all this began.
    since: Instant,
    /// The number of the next new one.
    next: u32,
    /// What cookies are signed with, unless the configuration says.
    key: Arc<sticky::Key>,
}

impl Backends {
    /// Those that a configuration names. One that `previous` had too goes on as it was: its health, its
    /// load, its number and its turns are its own.
    #[must_use]
    pub fn new(config: &Config, previous: Option<&Self>) -> Self {
        let timeout = config.http.first_byte_timeout;
        let since = previous.map_or_else(Instant::now, |it| it.since);
        let key =
            previous.map_or_else(|| Arc::new(sticky::Key::random()), |it| Arc::clone(&it.key));
        let mut next = previous.map_or(1, |it| it.next);
        let old = previous.into_iter().flat_map(|it| &it.all);
        let old: HashMap<u64, &Backend> = old.map(|it| (it.identity, &**it)).collect();
        let mut all = Vec::with_capacity(config.backends.len());
        for target in &config.backends {
            let before = old.get(&identity(target)).copied();
            // What speaks otherwise is another one: connections to it are of no use.
            let before =
                before.filter(|it| it.scheme == target.scheme && it.protocol == target.protocol);
            let backend = Backend::new(target, timeout, &config.connections, next, before);
            next += u32::from(before.is_none());
            all.push(Arc::new(backend));
        }
        let pool = |pool| {
            let before = previous.and_then(|it| it.pools.iter().find(|it| it.continues_in(pool)));
            BackendPool::new(pool, &all, &config.health.thresholds, since, &key, before)
        };
        let pools: Vec<_> = config.pools.iter().map(pool).collect();
        let mut pools_of: HashMap<u32, Vec<usize>> = HashMap::new();
        for (index, pool) in pools.iter().enumerate() {
            for member in pool.members() {
                pools_of.entry(member.number).or_default().push(index);
            }
        }
        let thresholds = config.health.thresholds;
        let ejecting = Mutex::new(());
        Self { all, pools, pools_of, thresholds, ejecting, since, next, key }
    }

    /// All of them, in the order of the configuration.
    #[must_use]
    pub fn all(&self) -> &[Arc<Backend>] {
        &self.all
    }

    /// Whether one of them has this number.
    #[must_use]
    pub fn has(&self, number: u32) -> bool {
        self.all.iter().any(|backend| backend.number == number)
    }

    /// The pool of this index, which a rule has.
    #[must_use]
    pub fn pool(&self, index: usize) -> Option<&BackendPool> {
        self.pools.get(index)
    }

    /// All of them; the first is that of the list of targets.
    #[must_use]
    pub fn pools(&self) -> &[BackendPool] {
        &self.pools
    }

    /// Whether anything is known against `backend` at this moment.
    #[must_use]
    pub fn standing(&self, backend: &Backend) -> Standing {
        let now = self.since.elapsed();
        match backend.health.is_up() {
            false => Standing::Down,
            true if backend.health.is_ejected(now) => Standing::Ejected,
            true => Standing::Up,
        }
    }

    /// A probe of `backend` succeeded, or did not.
    pub fn probed(&self, backend: &Backend, result: Result<(), &dyn std::error::Error>) {
        let now = self.since.elapsed();
        let changed = backend.health.probed(result.is_ok(), now, &self.thresholds);
        if let Some(up) = changed {
            backend.tally.changed(up);
        }
        match (changed, result) {
            (None, _) => {}
            (Some(true), _) => tracing::info!(target = &*backend.name, "healthy"),
            (Some(false), result) => {
                let error = result.err().map(tracing::field::display);
                tracing::warn!(target = &*backend.name, error, "unhealthy");
            }
        }
    }

    /// An exchange with `backend` ended so after so long. One that is worth little is ejected, at most
    /// if another one of its kind is fit in each of its pools, and half of them stay.
    pub fn exchanged(&self, backend: &Backend, took: Duration, worth: Worth) {
        let now = self.since.elapsed();
        backend.tally.exchange(took, worth);
        backend.load.observe(took, worth == Worth::Good, now);
        let failed_again = backend.health.exchanged(worth, now, &self.thresholds);
        if worth == Worth::Good {
            return;
        }
        let is_bad = failed_again || backend.health.answers(now).are_bad(&self.thresholds);
        if !is_bad || backend.health.is_ejected(now) || !self.can_spare(backend, now) {
            return;
        }
        let _ejecting = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.can_spare(backend, now) || !(failed_again || self.others_do_better(backend, now)) {
            return;
        }
        if let Some(length) = backend.health.eject(now, fastrand::f64(), &self.thresholds) {
            backend.tally.ejected();
            let (name, seconds) = (&*backend.name, length.as_secs());
            if failed_again {
                tracing::warn!(target = name, seconds, "ejected: it fails again and again");
            } else {
                tracing::warn!(
                    target = name,
                    seconds,
                    "ejected: too many of its answers are errors"
                );
            }
        }
    }

    fn can_spare(&self, backend: &Backend, now: Duration) -> bool {
        self.pools_of(backend).all(|pool| {
            let others = || pool.others_like(backend);
            let ejected = others().filter(|it| it.health.is_ejected(now)).count();
            let fit = others().any(|it| it.is_fit(now));
            fit && 2 * (ejected + 1) <= others().count() + 1
        })
    }

    /// Whether the errors are its own: a request that fails everywhere tells nothing of it.
    fn others_do_better(&self, backend: &Backend, now: Duration) -> bool {
        let mut others: Vec<_> =
            self.pools_of(backend).flat_map(|pool| pool.others_like(backend)).collect();
        others.sort_unstable_by_key(|it| it.number);
        others.dedup_by_key(|it| it.number);
        let answers = others.iter().map(|it| it.health.answers(now));
        let answers = answers.fold(Answers::default(), Answers::and);
        answers.all >= self.thresholds.samples && !answers.are_bad(&self.thresholds)
    }

    fn pools_of(&self, backend: &Backend) -> impl Iterator<Item = &BackendPool> {
        let indices = self.pools_of.get(&backend.number).into_iter().flatten();
        indices.filter_map(|&index| self.pools.get(index))
    }
}

/// What is known of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing against it.
    Up,
    /// Probes fail.
    Down,
    /// Exchanges failed, and it is left alone for a while.
    Ejected,
}

#[cfg(test)]
mod tests;
