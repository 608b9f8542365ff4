//! The same backend for the same key, whoever else comes and goes, with bounded loads (Mirrokni,
//! Thorup and Zadimoghaddam, 2018). Nothing here is random: two hosts with one configuration agree.

use super::{Member, maglev::Maglev};

/// How much more than its share a backend may have under way, in percent of it.
const MOST: u64 = 125;

/// The largest pool whose backends are ranked anew for each key, which takes a step for each; from
/// here on a table is looked up.
const MOST_RANKED: usize = 64;

/// Keys to backends.
#[derive(Debug)]
pub(super) struct Hashing {
    way: Way,
    /// Whether a backend that has more than its share passes keys on.
    bounded: bool,
}

#[derive(Debug)]
enum Way {
    /// By highest random weight (Thaler and Ravishankar, 1998): a backend that goes moves its own keys
    /// only.
    Ranked,
    /// By a table: a backend that goes moves its own keys, and a few others.
    Table(Maglev),
}

impl Hashing {
    pub(super) fn new(members: &[Member], bounded: bool) -> Self {
        let way = if members.len() > MOST_RANKED {
            Way::Table(Maglev::new(members))
        } else {
            Way::Ranked
        };
        Self { way, bounded }
    }

    /// The first choice of `key` that has not more under way than its bound; the first of all where
    /// every one has.
    pub(super) fn pick(
        &self,
        members: &[Member],
        key: u64,
        usable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let is_candidate = |index: usize| members[index].weight > 0 && usable(index);
        if self.bounded {
            let bound = Bound::of(members, is_candidate);
            let has_room = |index: usize| is_candidate(index) && bound.admits(&members[index]);
            if let Some(index) = self.first(members, key, has_room) {
                return Some(index);
            }
        }
        self.first(members, key, is_candidate)
    }

    fn first(
        &self,
        members: &[Member],
        key: u64,
        is_candidate: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        match &self.way {
            Way::Table(table) => table.pick(key, is_candidate),
            Way::Ranked => {
                let score = |&index: &usize| members[index].score(key);
                let candidates = (0..members.len()).filter(|&index| is_candidate(index));
                candidates.max_by(|one, other| score(one).total_cmp(&score(other)))
            }
        }
    }
}

/// What there is to share.
struct Bound {
    /// Exchanges under way, the one to come included.
    load: u64,
    weight: u64,
}

impl Bound {
    fn of(members: &[Member], is_candidate: impl Fn(usize) -> bool) -> Self {
        let mut bound = Self { load: 1, weight: 0 };
        for (index, member) in members.iter().enumerate() {
            if is_candidate(index) {
                bound.load += u64::from(member.load.outstanding());
                bound.weight += u64::from(member.weight);
            }
        }
        bound
    }

    fn admits(&self, member: &Member) -> bool {
        let share = self.load * u64::from(member.weight) * MOST;
        u64::from(member.load.outstanding()) < share.div_ceil(self.weight.max(1) * 100)
    }
}

impl Member {
    /// Weighted by the logarithm of a number from 0 to 1 (Schindelhauer and Schomaker, 2005).
    fn score(&self, key: u64) -> f64 {
        let mixed = mix(key ^ mix(self.identity));
        // 53 bits: what an f64 holds; never 0.
        #[expect(clippy::cast_precision_loss, reason = "53 bits are held exactly")]
        let chance = ((mixed >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        -f64::from(self.weight) / chance.ln().min(-f64::MIN_POSITIVE)
    }
}

/// A number for a text, the same on every host: FNV-1a, mixed.
#[must_use]
pub fn key_of(text: &[u8]) -> u64 {
    let hash = text.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(hash)
}

/// The finisher of `SplitMix64`.
pub(super) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
