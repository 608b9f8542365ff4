//! A table of keys for large pools (Eisenbud and others, "Maglev", NSDI 2016, section 3.4).

use super::{Member, hashing::mix};

/// Places in the table: a prime, and for pools of hundreds enough that shares are right to a few
/// percent; 256 KiB.
const PLACES: u64 = 65_537;

/// How often a key whose backend is not usable is tried elsewhere before the others are gone
/// through one by one.
const MOST_TRIES: u64 = 32;

/// Marks a place that is not taken yet.
const FREE: u32 = u32::MAX;

/// Which backend each place belongs to.
#[derive(Debug)]
pub(super) struct Maglev {
    places: Box<[u32]>,
    members: usize,
}

impl Maglev {
    /// Backends take places in turn, each by its own order of preference, as often as their weights
    /// say. Where all have weight 0 nobody takes any.
    pub(super) fn new(members: &[Member]) -> Self {
        let mut places = vec![FREE; usize::try_from(PLACES).unwrap_or(0)].into_boxed_slice();
        let most = members.iter().map(|member| member.weight).max().unwrap_or(0);
        let mut turns: Vec<Turn> =
            (0..).zip(members).map(|(index, it)| Turn::of(index, it)).collect();
        let mut free = if most == 0 { 0 } else { places.len() };
        while free > 0 {
            for turn in &mut turns {
                turn.earned += u64::from(turn.weight);
                if turn.earned < u64::from(most) || free == 0 {
                    continue;
                }
                turn.earned -= u64::from(most);
                turn.take(&mut places);
                free -= 1;
            }
        }
        Self { places, members: members.len() }
    }

    /// The usable backend for `key`. Keys of one that is not usable spread over all others. One whose
    /// share is less than a place is found only where nobody else is.
    pub(super) fn pick(&self, key: u64, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let place = |at: u64| {
            let taken = self.places.get(usize::try_from(at % PLACES).ok()?)?;
            let index = usize::try_from(*taken).ok().filter(|_| *taken != FREE)?;
            usable(index).then_some(index)
        };
        let mut tries = (0..MOST_TRIES).map(|again| mix(key.wrapping_add(again)));
        let start = usize::try_from(key % PLACES).unwrap_or(0) % self.members.max(1);
        let mut rest = (start..self.members).chain(0..start);
        tries.find_map(place).or_else(|| rest.find(|&index| usable(index)))
    }
}

/// One backend as it takes places.
struct Turn {
    index: u32,
    weight: u32,
    earned: u64,
    next: u64,
    skip: u64,
}

impl Turn {
    fn of(index: u32, member: &Member) -> Self {
        let next = mix(member.identity) % PLACES;
        let skip = mix(member.identity ^ 1) % (PLACES - 1) + 1;
        Self { index, weight: member.weight, earned: 0, next, skip }
    }

    /// Takes the place it likes best of those that are free. There is one: its steps come by every
    /// place, for their number is a prime.
    fn take(&mut self, places: &mut [u32]) {
        for _ in 0..places.len() {
            let place = usize::try_from(self.next).ok().and_then(|at| places.get_mut(at));
            self.next = (self.next + self.skip) % PLACES;
            if let Some(place) = place.filter(|place| **place == FREE) {
                *place = self.index;
                return;
            }
        }
    }
}
