//! What all workers share: the checked configuration, the pools, and what is intercepted.

mod capacity;
mod interception;
mod ledger;
mod live;
mod reload;
mod upgrader;

use std::{
    io,
    os::fd::BorrowedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub use capacity::{Capacity, Level, Occupancy, Seat, Share, Shortage};
pub use interception::{
    EffectivePath, Fault, Finding, Interception, LearnError, PathStanding, ProbeCounts, Report,
};
pub use ledger::{Follower, Ledger};
pub use live::Live;
pub use reload::{ConfigSource, Last, Print, Reloaded, Reloader};
pub use upgrader::{UpgradeRequest, Upgrader, identity};

use crate::{
    config::{Config, Http, OnNoBackend, Scheme, UpstreamConnections},
    rules::{Rule, Rules},
    upstream::{BackendPool, Backends},
};

/// What one configuration comes to. Never changed once it is there: another configuration makes
/// another one, which takes over what goes on.
#[derive(Debug)]
pub struct State {
    /// From 1, one more with each configuration.
    pub generation: u64,
    /// The configuration itself.
    pub config: Config,
    /// Which hosts are intercepted.
    pub rules: Rules,
    /// Where they go.
    pub backends: Backends,
    /// How HTTP is spoken.
    pub http: Http,
    /// How many connections there may be to the backends.
    pub upstream: UpstreamConnections,
    /// How many share them.
    pub workers: usize,
    /// Longest time to the beginning of a response.
    pub request_timeout: Duration,
    /// Longest time between two requests of one client connection.
    pub keep_alive_timeout: Duration,
    /// What becomes of what no backend can answer, at the transparent door.
    pub on_no_backend: OnNoBackend,
    /// When the daemon began.
    pub since: Instant,
    /// The kernel side; `None` where interception is off.
    pub interception: Option<Arc<Interception>>,
    /// Who is told of every exchange.
    pub ledger: Arc<Ledger>,
    /// How many connections of clients there may be.
    pub capacity: Arc<Capacity>,
    counters: Arc<Counters>,
}

/// What is counted from the start to the end.
#[derive(Debug, Default)]
struct Counters {
    tls_passed: AtomicU64,
    retries_refused: AtomicU64,
}

impl State {
    /// The state that the first configuration asks for.
    #[must_use]
    pub fn new(
        config: &Config,
        interception: Option<Interception>,
        ledger: Arc<Ledger>,
    ) -> Arc<Self> {
        let capacity = Capacity::new(&config.server, interception.as_ref());
        Arc::new(Self {
            generation: 1,
            rules: config.rules.clone(),
            backends: Backends::new(config, None),
            http: config.http.clone(),
            upstream: config.connections,
            workers: config.server.workers.get(),
            request_timeout: config.server.request_timeout,
            keep_alive_timeout: config.server.keep_alive_timeout,
            on_no_backend: config.intercept.on_no_backend,
            config: config.clone(),
            since: Instant::now(),
            interception: interception.map(Arc::new),
            ledger,
            capacity,
            counters: Arc::default(),
        })
    }

    /// The state that another configuration asks for, after this one.
    #[must_use]
    pub fn next(&self, config: &Config) -> Arc<Self> {
        Arc::new(Self {
            generation: self.generation + 1,
            rules: config.rules.clone(),
            backends: Backends::new(config, Some(&self.backends)),
            http: config.http.clone(),
            upstream: config.connections,
            request_timeout: config.server.request_timeout,
            keep_alive_timeout: config.server.keep_alive_timeout,
            on_no_backend: config.intercept.on_no_backend,
            config: config.clone(),
            interception: self.interception.clone(),
            ledger: Arc::clone(&self.ledger),
            capacity: Arc::clone(&self.capacity),
            counters: Arc::clone(&self.counters),
            ..*self
        })
    }

    /// Marks a socket, not yet connected, as the daemon's own, on the way to backend number `backend`
    /// (0: to none).
    pub fn mark(&self, socket: BorrowedFd<'_>, backend: u32) -> io::Result<()> {
        mark_own(self.interception.as_deref(), socket, backend)
    }

    /// Who answers where `rule` applies.
    #[must_use]
    pub fn pool(&self, rule: &Rule) -> Option<&BackendPool> {
        self.backends.pool(rule.pool)
    }

    /// Whether any backend speaks `scheme` where `rule` applies.
    #[must_use]
    pub fn answers(&self, rule: &Rule, scheme: Scheme) -> bool {
        self.pool(rule).is_some_and(|pool| pool.speaks(scheme))
    }

    /// A request was not sent a second time, for there had been too many of them.
    pub fn note_retry_refused(&self) {
        self.counters.retries_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were not.
    #[must_use]
    pub fn retries_refused(&self) -> u64 {
        self.counters.retries_refused.load(Ordering::Relaxed)
    }

    /// A connection that began TLS with an intercepted domain went to its original destination, for
    /// no backend speaks TLS.
    pub fn note_tls_passed(&self) {
        self.counters.tls_passed.fetch_add(1, Ordering::Relaxed);
    }

    /// How many connections did.
    #[must_use]
    pub fn tls_passed(&self) -> u64 {
        self.counters.tls_passed.load(Ordering::Relaxed)
    }
}

/// Marks a socket, not yet connected, as the daemon's own, on the way to backend number `backend` (0: to
/// none), where there is a kernel side to tell.
pub fn mark_own(
    interception: Option<&Interception>,
    socket: BorrowedFd<'_>,
    backend: u32,
) -> io::Result<()> {
    match interception {
        Some(interception) => interception.mark(socket, backend).map_err(io::Error::other),
        None => Ok(()),
    }
}
