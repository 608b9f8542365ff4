//! Who is told of each exchange once it is over. Telling never waits.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::{HeaderMap, HeaderName};
use tokio::sync::broadcast::{
    self,
    error::{RecvError, TryRecvError},
};

use crate::{exchange::Exchange, metrics::Metrics, sink::TrafficLog};

/// Exchanges that a follower may be behind; it misses what is older.
const BEHIND: usize = 4_096;

/// Who is told of each exchange, one for all configurations.
#[derive(Debug)]
pub struct Ledger {
    /// What is counted.
    pub metrics: Metrics,
    followers: AtomicUsize,
    feed: broadcast::Sender<Arc<Exchange>>,
    traffic_log: Option<Arc<TrafficLog>>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new(1, None)
    }
}

impl Ledger {
    /// One that so many workers tell, and that writes every exchange into this log, if there is one.
    #[must_use]
    pub fn new(workers: usize, traffic_log: Option<Arc<TrafficLog>>) -> Self {
        let (metrics, followers) = (Metrics::for_workers(workers), AtomicUsize::new(0));
        Self { metrics, followers, feed: broadcast::Sender::new(BEHIND), traffic_log }
    }

    /// An exchange is over.
    pub fn finished(&self, mut exchange: Exchange) {
        self.metrics.exchange(&exchange);
        exchange.log();
        let followed = self.followers.load(Ordering::Relaxed) > 0;
        if !followed && self.traffic_log.is_none() {
            return;
        }
        exchange.detach();
        let exchange = Arc::new(exchange);
        if let Some(log) = &self.traffic_log {
            log.observe(&exchange);
        }
        if followed {
            // Nobody may be left by now.
            let _ = self.feed.send(exchange);
        }
    }

    /// The traffic log, where one is written.
    #[must_use]
    pub fn traffic_log(&self) -> Option<&Arc<TrafficLog>> {
        self.traffic_log.as_ref()
    }

    /// Those of a request's fields that are to be written down, without secrets.
    #[must_use]
    pub fn written_fields(&self, fields: &HeaderMap) -> Vec<(HeaderName, Box<[u8]>)> {
        self.traffic_log.as_ref().map(|log| log.written_fields(fields)).unwrap_or_default()
    }

    /// Every exchange that ends from now on.
    #[must_use]
    pub fn follow(self: &Arc<Self>) -> Follower {
        let feed = self.feed.subscribe();
        self.followers.fetch_add(1, Ordering::Relaxed);
        Follower { feed, missed: 0, ledger: Arc::clone(self) }
    }
}

/// Somebody who looks on.
#[derive(Debug)]
pub struct Follower {
    feed: broadcast::Receiver<Arc<Exchange>>,
    missed: u64,
    ledger: Arc<Ledger>,
}

impl Follower {
    /// The next exchange.
    pub async fn next(&mut self) -> Arc<Exchange> {
        loop {
            match self.feed.recv().await {
                Ok(exchange) => return exchange,
                Err(RecvError::Lagged(count)) => self.missed += count,
                // The ledger that we hold has the other end.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// The next exchange, if it is there already.
    pub fn next_now(&mut self) -> Option<Arc<Exchange>> {
        loop {
            match self.feed.try_recv() {
                Ok(exchange) => return Some(exchange),
                Err(TryRecvError::Lagged(count)) => self.missed += count,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }

    /// How many it was too slow for since this was last asked.
    pub fn take_missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.ledger.followers.fetch_sub(1, Ordering::Relaxed);
    }
}
