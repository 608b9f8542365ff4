//! Round robin, plain and weighted.

use std::sync::{Mutex, PoisonError};

use super::Member;

/// A turn for each backend, as often as its weight says, spread out as nginx does: 5, 1, 1 gives a a b
/// a c a a. Each turn, every usable backend earns its weight; the richest takes the turn and pays
/// what all have earned.
#[derive(Debug)]
pub(super) struct Turns {
    weights: Box<[i64]>,
    /// The lock is held while the backends are gone through, once.
    credits: Mutex<Box<[i64]>>,
}

impl Turns {
    /// One turn each.
    pub(super) fn even(members: &[Member]) -> Self {
        Self::of(members.iter().map(|member| i64::from(member.weight.min(1))).collect())
    }

    /// Turns in proportion to the weights.
    pub(super) fn weighted(members: &[Member]) -> Self {
        Self::of(members.iter().map(|member| i64::from(member.weight)).collect())
    }

    fn of(weights: Box<[i64]>) -> Self {
        let credits = Mutex::new(vec![0; weights.len()].into());
        Self { weights, credits }
    }

    /// Goes on where `previous` is, whose backends were `theirs`: what a backend has saved is its own,
    /// whatever its weight is now.
    pub(super) fn continues(&self, previous: &Self, theirs: &[Member], members: &[Member]) {
        let saved = previous.credits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut credits = self.credits.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody saves up more than one round.
        let round: i64 = self.weights.iter().sum();
        for (credit, member) in credits.iter_mut().zip(members) {
            let before = theirs.iter().position(|it| it.identity == member.identity);
            let credit_before = before.and_then(|index| saved.get(index)).copied().unwrap_or(0);
            *credit = credit_before.clamp(-round, round);
        }
    }

    /// What falls to an unusable backend goes to all others, in proportion.
    pub(super) fn pick(&self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let mut credits = self.credits.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut earned, mut richest) = (0, None);
        for (index, (credit, &weight)) in credits.iter_mut().zip(&self.weights).enumerate() {
            if weight == 0 || !usable(index) {
                continue;
            }
            *credit += weight;
            earned += weight;
            if richest.is_none_or(|(_, most)| *credit > most) {
                richest = Some((index, *credit));
            }
        }
        let (index, _) = richest?;
        if let Some(credit) = credits.get_mut(index) {
            *credit -= earned;
        }
        Some(index)
    }
}
