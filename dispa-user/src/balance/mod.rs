//! Which backend gets the next exchange.
//!
//! Floor 1: pure. It knows the backends of a pool by index only, asks the caller which of them are
//! usable, has no clock, and is shared by threads; the one lock is that of the turns.

mod algorithm;
mod hashing;
mod least;
mod load;
mod maglev;
mod random;
mod turns;
mod two_choices;

use std::{sync::Arc, time::Duration};

pub use algorithm::Algorithm;
use hashing::Hashing;
pub use hashing::key_of;
use least::LeastConnections;
pub use load::{Lease, Load};
use random::Random;
use turns::Turns;

/// Picks among the backends of one pool.
#[derive(Debug)]
pub struct Balancer {
    members: Box<[Member]>,
    strategy: Strategy,
}

/// A backend, as one pool has it.
#[derive(Clone, Debug)]
pub struct Member {
    /// What it is told by; it should outlast a change of the list.
    pub identity: u64,
    /// Its share. 0: it is never picked; round robin knows no other difference between weights.
    pub weight: u32,
    /// Its own, in whatever pools it is.
    pub load: Arc<Load>,
}

#[derive(Debug)]
enum Strategy {
    Turns(Turns),
    Random(Random),
    LeastConnections(LeastConnections),
    TwoChoices(Random),
    Hashing(Hashing),
}

impl Balancer {
    /// A balancer over these backends. Where the backends of `previous` have turns, those that are
    /// still there go on with theirs.
    #[must_use]
    pub fn new(
        algorithm: Algorithm,
        members: impl Into<Box<[Member]>>,
        previous: Option<&Self>,
    ) -> Self {
        let members = members.into();
        let strategy = match algorithm {
            Algorithm::RoundRobin => Strategy::Turns(Turns::even(&members)),
            Algorithm::Weighted => Strategy::Turns(Turns::weighted(&members)),
            Algorithm::Random => Strategy::Random(Random::new(random::seed())),
            Algorithm::LeastConnections => Strategy::LeastConnections(LeastConnections::default()),
            Algorithm::TwoChoices => Strategy::TwoChoices(Random::new(random::seed())),
            Algorithm::Hash => Strategy::Hashing(Hashing::new(&members, true)),
            Algorithm::Sticky => Strategy::Hashing(Hashing::new(&members, false)),
        };
        let theirs = previous.map(|it| (&it.strategy, &it.members));
        if let (Strategy::Turns(turns), Some((Strategy::Turns(before), theirs))) =
            (&strategy, theirs)
        {
            turns.continues(before, theirs, &members);
        }
        Self { members, strategy }
    }

    /// The index of the backend for the next exchange, of a client of this `key`; none if none is
    /// usable. `now` is that of [`Load::observe`].
    ///
    /// `usable` is asked for one backend at a time and may change its mind between calls.
    #[must_use]
    pub fn pick(&self, key: u64, now: Duration, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let members = &*self.members;
        match &self.strategy {
            Strategy::Turns(turns) => turns.pick(usable),
            Strategy::Random(random) => random.pick(members, usable),
            Strategy::LeastConnections(least) => least.pick(members, usable),
            Strategy::TwoChoices(random) => two_choices::pick(random, members, now, usable),
            Strategy::Hashing(hashing) => hashing.pick(members, key, usable),
        }
    }
}

#[cfg(test)]
mod tests;
