//! Which backend gets the next exchange.
//!
//! Floor 1: pure. It knows backends by index only, asks the caller which of them are usable, has
//! no clock, and is shared by threads without a lock.

mod algorithm;
mod lease;
mod least;
mod random;
mod rendezvous;
mod sequence;
mod two_choices;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub use algorithm::Algorithm;
pub use lease::Lease;
use least::LeastConnections;
use random::Random;
use rendezvous::Rendezvous;
pub use rendezvous::key_of;
use sequence::Sequence;
use two_choices::TwoChoices;

/// Picks among the backends of one pool.
#[derive(Debug)]
pub struct Balancer {
    strategy: Strategy,
    /// How many exchanges are under way, by backend.
    outstanding: Box<[AtomicU32]>,
}

#[derive(Debug)]
enum Strategy {
    /// Round robin, weighted or not: weights shape the sequence when it is built.
    Sequence(Sequence),
    Random(Random),
    LeastConnections(LeastConnections),
    TwoChoices(TwoChoices),
    Rendezvous(Rendezvous),
}

impl Balancer {
    /// A balancer over backends of these identities and weights. A backend of weight 0 is never
    /// picked; round robin knows no other difference between weights. Identities are what `hash`
    /// tells backends by: they should outlast a change of the list.
    #[must_use]
    pub fn new(algorithm: Algorithm, identities: &[u64], weights: &[u32]) -> Self {
        let strategy = match algorithm {
            Algorithm::RoundRobin => Strategy::Sequence(Sequence::even(weights)),
            Algorithm::Weighted => Strategy::Sequence(Sequence::weighted(weights)),
            Algorithm::Random => Strategy::Random(Random::new(weights, random::seed())),
            Algorithm::LeastConnections => {
                Strategy::LeastConnections(LeastConnections::new(weights))
            }
            Algorithm::TwoChoices => Strategy::TwoChoices(TwoChoices::new(weights, random::seed())),
            Algorithm::Hash => Strategy::Rendezvous(Rendezvous::new(identities, weights)),
        };
        Self { strategy, outstanding: weights.iter().map(|_| AtomicU32::new(0)).collect() }
    }

    /// The index of the backend for the next exchange, of a client of this `key`; none if none is
    /// usable.
    ///
    /// `usable` is asked for one backend at a time and may change its mind between calls.
    #[must_use]
    pub fn pick(&self, key: u64, usable: impl Fn(usize) -> bool) -> Option<usize> {
        match &self.strategy {
            Strategy::Sequence(sequence) => sequence.pick(usable),
            Strategy::Random(random) => random.pick(usable),
            Strategy::LeastConnections(least) => {
                least.pick(usable, |index| self.outstanding(index))
            }
            Strategy::TwoChoices(choices) => choices.pick(usable, |index| self.outstanding(index)),
            Strategy::Rendezvous(rendezvous) => {
                rendezvous.pick(key, usable, |index| self.outstanding(index))
            }
        }
    }

    /// The backend `index` answered after so long, or failed. `now` is since whenever, always the
    /// same.
    pub fn observe(&self, index: usize, took: Duration, success: bool, now: Duration) {
        if let Strategy::TwoChoices(choices) = &self.strategy {
            choices.observe(index, took, success, now);
        }
    }

    /// Counts one exchange on the backend `index` until the lease is dropped.
    #[must_use]
    pub fn lease(self: &Arc<Self>, index: usize) -> Lease {
        Lease::new(Arc::clone(self), index)
    }

    /// How many leases on the backend `index` are alive.
    #[must_use]
    pub fn outstanding(&self, index: usize) -> u32 {
        self.outstanding.get(index).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests;
