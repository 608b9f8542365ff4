//! The same backend for the same key, whoever else comes and goes: highest random weight (Thaler and
//! Ravishankar, 1998), with bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2018).

/// How much more than its share a backend may have under way, in percent of it.
const MOST: u64 = 125;

/// Ranks the backends anew for each key. A backend that goes moves only its own keys.
#[derive(Debug)]
pub(super) struct Rendezvous {
    /// Two hosts with one configuration agree: nothing here is random.
    identities: Box<[u64]>,
    weights: Box<[u32]>,
}

impl Rendezvous {
    pub(super) fn new(identities: &[u64], weights: &[u32]) -> Self {
        Self { identities: identities.into(), weights: weights.into() }
    }

    /// The first in the ranking of `key` that has not more under way than its bound; the first of all
    /// where every one has.
    pub(super) fn pick(
        &self,
        key: u64,
        usable: impl Fn(usize) -> bool,
        outstanding: impl Fn(usize) -> u32,
    ) -> Option<usize> {
        let candidates = || {
            let all = self.weights.iter().enumerate().filter(|(_, weight)| **weight > 0);
            all.map(|(index, _)| index).filter(|&index| usable(index))
        };
        let load: u64 = 1 + candidates().map(|index| u64::from(outstanding(index))).sum::<u64>();
        let weight: u64 = candidates().map(|index| self.weight(index)).sum();
        let has_room = |index: &usize| {
            let share = (load * self.weight(*index) * MOST).div_ceil(weight.max(1) * 100);
            u64::from(outstanding(*index)) < share
        };
        let best = |among: &mut dyn Iterator<Item = usize>| {
            among.max_by(|one, other| self.score(key, *one).total_cmp(&self.score(key, *other)))
        };
        best(&mut candidates().filter(has_room)).or_else(|| best(&mut candidates()))
    }

    fn weight(&self, index: usize) -> u64 {
        self.weights.get(index).copied().map_or(0, u64::from)
    }

    /// Weighted by the logarithm of a number from 0 to 1 (Schindelhauer and Schomaker, 2005).
    fn score(&self, key: u64, index: usize) -> f64 {
        let identity = self.identities.get(index).copied().unwrap_or_default();
        let mixed = mix(key ^ mix(identity));
        // 53 bits: what an f64 holds; never 0.
        #[expect(clippy::cast_precision_loss, reason = "53 bits are held exactly")]
        let chance = ((mixed >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        #[expect(clippy::cast_precision_loss, reason = "weights are far below 53 bits")]
        let weight = self.weight(index) as f64;
        -weight / chance.ln().min(-f64::MIN_POSITIVE)
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
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
