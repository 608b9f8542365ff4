//! What is counted of traffic, by all workers together.

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    Families, Transport,
    rules::NamedRules,
    traffic::{OpenConnection, Traffic},
};
use crate::{exchange::Exchange, types::Door};

/// Workers that count apart. Of more some count together, which costs them a little.
const MOST_SHARDS: usize = 64;

/// What is counted of traffic, from the start to the end. Nothing waits. Each worker counts for itself, for
/// processors that write to the same memory hold each other up; a scrape sums up.
#[derive(Debug)]
pub struct Metrics {
    shards: Vec<Traffic>,
    first: Traffic,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::for_workers(1)
    }
}

/// This thread's, from 0 in the order in which threads begin to count.
fn own_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: OnceCell<usize> = const { OnceCell::new() };
    }
    OWN.with(|own| *own.get_or_init(|| NEXT.fetch_add(1, Ordering::Relaxed)))
}

impl Metrics {
    /// For so many threads.
    #[must_use]
    pub fn for_workers(workers: usize) -> Self {
        let named = Arc::new(NamedRules::default());
        let further = workers.min(MOST_SHARDS).saturating_sub(1);
        let shards = (0..further).map(|_| Traffic::new(&named)).collect();
        Self { shards, first: Traffic::new(&named) }
    }

    /// An exchange is over.
    pub fn exchange(&self, exchange: &Exchange) {
        self.own().exchange(exchange);
    }

    /// A client's connection was accepted.
    #[must_use]
    pub fn connection(&self, door: Door) -> Option<OpenConnection> {
        self.own().connection(door)
    }

    /// A question goes to its resolver.
    pub fn question(&self, transport: Transport) {
        self.own().question(transport);
    }

    /// A question did not get there.
    pub fn question_lost(&self) {
        self.own().question_lost();
    }

    /// An answer came back after so long.
    pub fn answer(&self, took: Duration) {
        self.own().answer(took);
    }

    /// How many exchanges were errors of the proxy or of the targets.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.all().map(Traffic::errors).sum()
    }

    /// How many exchanges ended in which way; those that did not occur are left out.
    #[must_use]
    pub fn outcomes(&self) -> BTreeMap<&'static str, u64> {
        let mut outcomes = BTreeMap::new();
        for (outcome, count) in self.all().flat_map(Traffic::outcomes) {
            *outcomes.entry(outcome).or_default() += count;
        }
        outcomes
    }

    /// All of it, for a scrape.
    pub fn collect(&self, families: &mut Families) {
        let mut sum = Families::default();
        for shard in self.all() {
            let mut own = Families::default();
            shard.collect(&mut own);
            sum.add(own);
        }
        families.append(sum);
    }

    fn all(&self) -> impl Iterator<Item = &Traffic> {
        std::iter::once(&self.first).chain(&self.shards)
    }

    fn own(&self) -> &Traffic {
        let index = own_number() % (self.shards.len() + 1);
        self.shards.get(index).unwrap_or(&self.first)
    }
}

#[cfg(test)]
mod tests;
