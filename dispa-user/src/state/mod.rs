//! What all workers share: the checked configuration, the pool, and what is intercepted.

mod interception;

use std::{
    io,
    os::fd::BorrowedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub use interception::{Interception, LearnError, Report};

use crate::{
    config::{Config, Http, OnNoBackend, Scheme, UpstreamConnections},
    rules::{Rule, Rules},
    upstream::{BackendPool, Backends},
};

/// Shared by every worker, never changed once it is there; what moves inside it has its own lock.
#[derive(Debug)]
pub struct State {
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
    /// When all this began.
    pub since: Instant,
    /// The kernel side; `None` where interception is off.
    pub interception: Option<Interception>,
    tls_passed: AtomicU64,
    retries_refused: AtomicU64,
}

impl State {
    /// The state a configuration asks for.
    #[must_use]
    pub fn new(config: &Config, interception: Option<Interception>) -> Arc<Self> {
        Arc::new(Self {
            rules: config.rules.clone(),
            backends: Backends::new(config, None),
            http: config.http.clone(),
            upstream: config.connections,
            workers: config.server.workers.get(),
            request_timeout: config.server.request_timeout,
            keep_alive_timeout: config.server.keep_alive_timeout,
            since: Instant::now(),
            on_no_backend: config.intercept.on_no_backend,
            interception,
            tls_passed: AtomicU64::new(0),
            retries_refused: AtomicU64::new(0),
        })
    }

    /// Marks a socket, not yet connected, as the daemon's own, on the way to backend number `backend`
    /// (0: to none).
    pub fn mark(&self, socket: BorrowedFd<'_>, backend: u32) -> io::Result<()> {
        match &self.interception {
            Some(interception) => interception.mark(socket, backend).map_err(io::Error::other),
            None => Ok(()),
        }
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
        self.retries_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were not.
    #[must_use]
    pub fn retries_refused(&self) -> u64 {
        self.retries_refused.load(Ordering::Relaxed)
    }

    /// A connection that began TLS with an intercepted domain went to its original destination, for
    /// no backend speaks TLS.
    pub fn note_tls_passed(&self) {
        self.tls_passed.fetch_add(1, Ordering::Relaxed);
    }

    /// How many connections did.
    #[must_use]
    pub fn tls_passed(&self) -> u64 {
        self.tls_passed.load(Ordering::Relaxed)
    }
}
