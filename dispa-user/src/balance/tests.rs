//! How backends are picked, against the definitions of the algorithms.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{Algorithm, Arc, Balancer, Random};

const ALL: [Algorithm; 4] =
    [Algorithm::RoundRobin, Algorithm::Weighted, Algorithm::Random, Algorithm::LeastConnections];

fn any_usable(_: usize) -> bool {
    true
}

fn picks(balancer: &Balancer, count: usize, usable: impl Fn(usize) -> bool) -> Vec<usize> {
    (0..count).filter_map(|_| balancer.pick(&usable)).collect()
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
    let balancer = Balancer::new(Algorithm::RoundRobin, &[5, 1, 0, 9]);
    assert_eq!(picks(&balancer, 6, any_usable), [0, 1, 3, 0, 1, 3]);
}

#[test]
fn weighted_is_smooth_and_reduced() {
    let balancer = Balancer::new(Algorithm::Weighted, &[50, 10, 10]);
    assert_eq!(picks(&balancer, 14, any_usable), [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn the_share_of_an_unusable_backend_goes_to_all_others() {
    let balancer = Balancer::new(Algorithm::RoundRobin, &[1, 1, 1]);
    let tally = tally(&picks(&balancer, 600, |index| index != 0));
    assert_eq!(tally, HashMap::from([(1, 300), (2, 300)]));

    let balancer = Balancer::new(Algorithm::Weighted, &[3, 2, 1]);
    let tally = self::tally(&picks(&balancer, 600, |index| index != 0));
    assert_eq!(tally, HashMap::from([(1, 400), (2, 200)]));
}

#[test]
fn huge_weights_make_a_short_sequence_that_forgets_nobody() {
    let balancer = Balancer::new(Algorithm::Weighted, &[u32::MAX, 1, u32::MAX - 1]);
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
    let balancer = Arc::new(Balancer::new(Algorithm::LeastConnections, &[1, 1, 0]));
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
    let balancer = Arc::new(Balancer::new(Algorithm::LeastConnections, &[1, 3]));
    let leases: Vec<_> = (0..40)
        .filter_map(|_| balancer.pick(any_usable))
        .map(|index| balancer.lease(index))
        .collect();
    assert_eq!((balancer.outstanding(0), balancer.outstanding(1)), (10, 30));
    drop(leases);
}

#[test]
fn a_lease_on_no_backend_is_harmless() {
    let balancer = Arc::new(Balancer::new(Algorithm::Random, &[1]));
    drop(balancer.lease(7));
    assert_eq!(balancer.outstanding(7), 0);
}

#[test]
fn threads_share_the_turns_exactly() {
    let balancer = Balancer::new(Algorithm::Weighted, &[3, 1]);
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

proptest! {
    #[test]
    fn only_usable_backends_of_some_weight_are_picked(pool in pools()) {
        let weights: Vec<u32> = pool.iter().map(|&(weight, _)| weight).collect();
        let eligible = |index: usize| pool[index].0 > 0 && pool[index].1;
        let expected = (0..pool.len()).any(eligible);
        for algorithm in ALL {
            let balancer = Balancer::new(algorithm, &weights);
            for _ in 0..20 {
                let picked = balancer.pick(|index| pool[index].1);
                prop_assert_eq!(picked.is_some(), expected, "{:?}", algorithm);
                prop_assert!(picked.is_none_or(eligible), "{:?}", algorithm);
            }
        }
    }

    #[test]
    fn one_round_of_a_weighted_sequence_is_exact(weights in prop::collection::vec(0u32..50, 1..6)) {
        let balancer = Balancer::new(Algorithm::Weighted, &weights);
        let round: u32 = weights.iter().sum();
        let tally = tally(&picks(&balancer, round as usize, any_usable));
        for (index, &weight) in weights.iter().enumerate() {
            prop_assert_eq!(tally.get(&index).copied().unwrap_or(0), weight as usize);
        }
    }
}
