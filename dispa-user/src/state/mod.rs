//! What all workers share: the checked configuration, the pool, and what is intercepted.

mod interception;

use std::{sync::Arc, time::Duration};

pub use interception::{Interception, LearnError, Learned, StopReport};

use crate::{config::Config, rules::Rules, upstream::Pool};

/// Shared by every worker, never changed once it is there; what moves inside it has its own lock.
#[derive(Debug)]
pub struct State {
    /// Which hosts are intercepted.
    pub rules: Rules,
    /// Where they go.
    pub pool: Pool,
    /// Longest time to the beginning of a response.
    pub request_timeout: Duration,
    /// Longest time between two requests of one client connection.
    pub keep_alive_timeout: Duration,
    /// The kernel side; `None` where interception is off.
    pub interception: Option<Interception>,
}

impl State {
    /// The state a configuration asks for.
    #[must_use]
    pub fn new(config: &Config, interception: Option<Interception>) -> Arc<Self> {
        Arc::new(Self {
            rules: config.rules.clone(),
            pool: Pool::new(&config.targets, config.balancing),
            request_timeout: config.server.request_timeout,
            keep_alive_timeout: config.server.keep_alive_timeout,
            interception,
        })
    }
}
