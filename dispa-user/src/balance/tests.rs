//! How backends are picked, against the definitions of the algorithms.

use std::{collections::HashMap, time::Duration};

use proptest::prelude::*;

use super::{Algorithm, Arc, Balancer, Random, key_of};

const ALL: [Algorithm; 6] = [
    Algorithm::RoundRobin,
    Algorithm::Weighted,
    Algorithm::Random,
    Algorithm::LeastConnections,
    Algorithm::TwoChoices,
    Algorithm::Hash,
];

fn over(algorithm: Algorithm, weights: &[u32]) -> Balancer {
    let identities: Vec<u64> = (0..).take(weights.len()).collect();
    Balancer::new(algorithm, &identities, weights)
}

fn any_usable(_: usize) -> bool {
    true
}

fn picks(balancer: &Balancer, count: usize, usable: impl Fn(usize) -> bool) -> Vec<usize> {
    (0..count).filter_map(|_| balancer.pick(0, &usable)).collect()
}

fn tally(picks: &[usize]) -> HashMap<usize, usize> {
    let mut tally = HashMap::new();
    for &index in picks {
        *tally.entry(index).or_default() += 1;
    }
    tally
}

#[test]
fn names() {
    for (name, algorithm) in Algorithm::NAMES {
        assert_eq!(Algorithm::parse(name), Some(*algorithm));
    }
    for algorithm in ALL {
        assert_eq!(Algorithm::parse(algorithm.name()), Some(algorithm));
    }
    assert_eq!(Algorithm::parse("RoundRobin"), None);
}

#[test]
fn round_robin_ignores_weights_above_zero() {
    let balancer = over(Algorithm::RoundRobin, &[5, 1, 0, 9]);
    assert_eq!(picks(&balancer, 6, any_usable), [0, 1, 3, 0, 1, 3]);
}

#[test]
fn weighted_is_smooth_and_reduced() {
    let balancer = over(Algorithm::Weighted, &[50, 10, 10]);
    assert_eq!(picks(&balancer, 14, any_usable), [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn the_share_of_an_unusable_backend_goes_to_all_others() {
    let balancer = over(Algorithm::RoundRobin, &[1, 1, 1]);
    let tally = tally(&picks(&balancer, 600, |index| index != 0));
    assert_eq!(tally, HashMap::from([(1, 300), (2, 300)]));

    let balancer = over(Algorithm::Weighted, &[3, 2, 1]);
    let tally = self::tally(&picks(&balancer, 600, |index| index != 0));
    assert_eq!(tally, HashMap::from([(1, 400), (2, 200)]));
}

#[test]
fn huge_weights_make_a_short_sequence_that_forgets_nobody() {
    let balancer = over(Algorithm::Weighted, &[u32::MAX, 1, u32::MAX - 1]);
    let tally = tally(&picks(&balancer, 4096, any_usable));
    assert!(tally[&1] >= 1, "{tally:?}");
    assert!(tally[&0].abs_diff(tally[&2]) <= 2, "{tally:?}");
}

#[test]
fn random_follows_the_weights() {
    let random = Random::new(&[1, 0, 3, 4], 7);
    let picks: Vec<_> = (0..40_000).filter_map(|_| random.pick(|index| index != 3)).collect();
    let tally = tally(&picks);
    assert_eq!(tally.len(), 2);
    // A quarter of 40,000, give or take five standard deviations.
    assert!((9_567..=10_433).contains(&tally[&0]), "{tally:?}");
}

#[test]
fn least_connections_prefers_the_free_and_counts_by_lease() {
    let balancer = Arc::new(over(Algorithm::LeastConnections, &[1, 1, 0]));
    let first = balancer.lease(0);
    let second = balancer.lease(0);
    assert_eq!((balancer.outstanding(0), balancer.outstanding(1)), (2, 0));
    assert_eq!(picks(&balancer, 3, any_usable), [1, 1, 1]);

    drop((first, second));
    assert_eq!(balancer.outstanding(0), 0);
    assert_eq!(tally(&picks(&balancer, 10, any_usable)), HashMap::from([(0, 5), (1, 5)]));
}

#[test]
fn least_connections_measures_load_by_weight() {
    let balancer = Arc::new(over(Algorithm::LeastConnections, &[1, 3]));
    let leases: Vec<_> = (0..40)
        .filter_map(|_| balancer.pick(0, any_usable))
        .map(|index| balancer.lease(index))
        .collect();
    assert_eq!((balancer.outstanding(0), balancer.outstanding(1)), (10, 30));
    drop(leases);
}

#[test]
fn a_lease_on_no_backend_is_harmless() {
    let balancer = Arc::new(over(Algorithm::Random, &[1]));
    drop(balancer.lease(7));
    assert_eq!(balancer.outstanding(7), 0);
}

#[test]
fn threads_share_the_turns_exactly() {
    let balancer = over(Algorithm::Weighted, &[3, 1]);
    let both: Vec<usize> = std::thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(|| picks(&balancer, 2_000, any_usable)));
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(tally(&both), HashMap::from([(0, 3_000), (1, 1_000)]));
}

fn pools() -> impl Strategy<Value = Vec<(u32, bool)>> {
    let weight = prop_oneof![4 => 0u32..10, 1 => any::<u32>()];
    prop::collection::vec((weight, any::<bool>()), 0..8)
}

const MILLISECOND: Duration = Duration::from_millis(1);

/// Has 10,000 exchanges, one after the other, which take so long and end so.
fn observed(took: [Duration; 3], success: [bool; 3]) -> HashMap<usize, usize> {
    let balancer = over(Algorithm::TwoChoices, &[1, 1, 1]);
    let mut now = Duration::ZERO;
    let mut picks = Vec::new();
    for _ in 0..10_000 {
        let index = balancer.pick(0, any_usable).expect("all are usable");
        now += MILLISECOND;
        balancer.observe(index, took[index], success[index], now);
        picks.push(index);
    }
    tally(&picks)
}

#[test]
fn two_choices_leave_a_slow_backend_alone() {
    let slow = 20 * MILLISECOND;
    let tally = observed([MILLISECOND, MILLISECOND, slow], [true; 3]);
    assert!(tally.get(&2).copied().unwrap_or_default() < 100, "{tally:?}");
}

#[test]
fn two_choices_do_not_take_a_quick_failure_for_a_fast_backend() {
    let tally = observed([MILLISECOND, MILLISECOND, MILLISECOND / 10], [true, true, false]);
    assert!(tally.get(&2).copied().unwrap_or_default() < 100, "{tally:?}");
}

#[test]
fn two_choices_try_a_slow_backend_again_once_that_is_long_ago() {
    let balancer = over(Algorithm::TwoChoices, &[1, 1]);
    balancer.observe(0, 100 * MILLISECOND, true, Duration::ZERO);
    let later = Duration::from_mins(2);
    balancer.observe(1, MILLISECOND, true, later);
    assert_eq!(balancer.pick(0, any_usable), Some(0));
}

#[test]
fn two_choices_do_not_heap_everything_on_one_that_hangs() {
    let balancer = Arc::new(over(Algorithm::TwoChoices, &[1, 1]));
    let mut hanging = Vec::new();
    for turn in 0..10_000 {
        match balancer.pick(0, any_usable) {
            Some(0) => hanging.push(balancer.lease(0)),
            _ => balancer.observe(1, MILLISECOND, true, turn * MILLISECOND),
        }
    }
    assert_eq!(hanging.len(), 1);
}

#[test]
fn two_choices_see_what_is_under_way() {
    let balancer = Arc::new(over(Algorithm::TwoChoices, &[1, 1]));
    for index in [0, 1] {
        balancer.observe(index, MILLISECOND, true, Duration::ZERO);
    }
    let _busy = balancer.lease(0);
    assert_eq!(picks(&balancer, 100, any_usable), [1; 100]);
}

#[test]
fn keys_are_the_same_on_every_host() {
    assert_eq!(key_of(b"198.51.100.7"), 0xcdc9_805f_a06a_24e3);
    let balancer = over(Algorithm::Hash, &[1, 1, 1, 1]);
    // As another program has them.
    let picks: Vec<_> = (0..12).filter_map(|key| balancer.pick(key, any_usable)).collect();
    assert_eq!(picks, [3, 3, 2, 1, 3, 2, 0, 2, 0, 1, 2, 3]);
}

#[test]
fn hash_spreads_keys_by_the_weights() {
    let balancer = over(Algorithm::Hash, &[1, 0, 3]);
    let keys = (0..40_000_u32).map(|key| key_of(&key.to_le_bytes()));
    let tally = tally(&keys.filter_map(|key| balancer.pick(key, any_usable)).collect::<Vec<_>>());
    assert_eq!(tally.len(), 2);
    // A quarter of 40,000, give or take five standard deviations.
    assert!((9_567..=10_433).contains(&tally[&0]), "{tally:?}");
}

proptest! {
    /// Whoever goes takes along its own keys, and no others.
    #[test]
    fn hash_moves_only_the_keys_of_who_is_gone(
        count in 2..20_usize,
        gone in any::<prop::sample::Index>(),
        keys in prop::collection::vec(any::<u64>(), 1..200),
    ) {
        let balancer = over(Algorithm::Hash, &vec![1; count]);
        let gone = gone.index(count);
        for key in keys {
            let before = balancer.pick(key, any_usable);
            let after = balancer.pick(key, |index| index != gone);
            prop_assert!(before == after || before == Some(gone));
            prop_assert_ne!(after, Some(gone));
        }
    }

    /// However unfair the keys, nobody has more under way than a quarter above its share.
    #[test]
    fn hash_bounds_the_load(
        weights in prop::collection::vec(1..5_u32, 1..8),
        keys in prop::collection::vec(0..3_u64, 1..300),
    ) {
        let balancer = Arc::new(over(Algorithm::Hash, &weights));
        let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let mut leases = Vec::new();
        for key in keys {
            let index = balancer.pick(key, any_usable).expect("all are usable");
            leases.push(balancer.lease(index));
            let bound = (leases.len() as u64 * u64::from(weights[index]) * 125).div_ceil(total * 100);
            prop_assert!(u64::from(balancer.outstanding(index)) <= bound);
        }
    }

    #[test]
    fn only_usable_backends_of_some_weight_are_picked(pool in pools()) {
        let weights: Vec<u32> = pool.iter().map(|&(weight, _)| weight).collect();
        let eligible = |index: usize| pool[index].0 > 0 && pool[index].1;
        let expected = (0..pool.len()).any(eligible);
        for algorithm in ALL {
            let balancer = over(algorithm, &weights);
            for _ in 0..20 {
                let picked = balancer.pick(0, |index| pool[index].1);
                prop_assert_eq!(picked.is_some(), expected, "{:?}", algorithm);
                prop_assert!(picked.is_none_or(eligible), "{:?}", algorithm);
            }
        }
    }

    #[test]
    fn one_round_of_a_weighted_sequence_is_exact(weights in prop::collection::vec(0u32..50, 1..6)) {
        let balancer = over(Algorithm::Weighted, &weights);
        let round: u32 = weights.iter().sum();
        let tally = tally(&picks(&balancer, round as usize, any_usable));
        for (index, &weight) in weights.iter().enumerate() {
            prop_assert_eq!(tally.get(&index).copied().unwrap_or(0), weight as usize);
        }
    }
}
