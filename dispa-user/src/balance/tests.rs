//! How backends are picked, against the definitions of the algorithms.

use std::{collections::HashMap, time::Duration};

use proptest::prelude::*;

use super::{Algorithm, Arc, Balancer, Lease, Load, Member, Random, hashing::mix, key_of};

const ALL: [Algorithm; 7] = [
    Algorithm::RoundRobin,
    Algorithm::Weighted,
    Algorithm::Random,
    Algorithm::LeastConnections,
    Algorithm::TwoChoices,
    Algorithm::Hash,
    Algorithm::Sticky,
];

const START: Duration = Duration::ZERO;

/// Backends of identities 0, 1, 2 and so on.
fn members(weights: &[u32]) -> Vec<Member> {
    let member = |(identity, &weight)| Member { identity, weight, load: Arc::default() };
    (0..).zip(weights).map(member).collect()
}

fn over(algorithm: Algorithm, weights: &[u32]) -> Balancer {
    Balancer::new(algorithm, members(weights), None)
}

fn load(balancer: &Balancer, index: usize) -> &Arc<Load> {
    &balancer.members[index].load
}

fn any_usable(_: usize) -> bool {
    true
}

fn picks(balancer: &Balancer, count: usize, usable: impl Fn(usize) -> bool) -> Vec<usize> {
    (0..count).filter_map(|_| balancer.pick(0, START, &usable)).collect()
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
    for algorithm in ALL.into_iter().filter(|it| *it != Algorithm::Sticky) {
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
fn turns_are_exact_while_backends_come_and_go() {
    let balancer = over(Algorithm::Weighted, &[5, 1, 1]);
    picks(&balancer, 3, any_usable);
    picks(&balancer, 60, |index| index != 0);
    let tally = tally(&picks(&balancer, 7_000, any_usable));
    assert_eq!(tally, HashMap::from([(0, 5_000), (1, 1_000), (2, 1_000)]));
}

#[test]
fn turns_go_on_after_a_change_of_the_list() {
    let before = over(Algorithm::Weighted, &[5, 1, 1]);
    let first = picks(&before, 3, any_usable);
    // The second one is gone, a fourth one is there.
    let mut list = members(&[5, 1, 1, 1]);
    list.remove(1);
    let after = Balancer::new(Algorithm::Weighted, list, Some(&before));
    let unchanged = Balancer::new(Algorithm::Weighted, members(&[5, 1, 1]), Some(&before));
    assert_eq!([first, picks(&unchanged, 4, any_usable)].concat(), [0, 0, 1, 0, 2, 0, 0]);
    // Number 2, third in its sequence, is the next as it would have been; the new one is behind it.
    assert_eq!(picks(&after, 7, any_usable), [0, 1, 0, 0, 0, 2, 0]);
    let round = tally(&picks(&after, 700, any_usable));
    assert_eq!(round, HashMap::from([(0, 500), (1, 100), (2, 100)]));
}

#[test]
fn nobody_pays_for_long_for_weights_of_before() {
    let before = over(Algorithm::Weighted, &[65_535, 65_535]);
    assert_eq!(picks(&before, 1, any_usable), [0]);
    let after = Balancer::new(Algorithm::Weighted, members(&[1, 1]), Some(&before));
    let tally = tally(&picks(&after, 10, any_usable));
    assert!(tally[&0] >= 4, "{tally:?}");
}

#[test]
fn another_weight_takes_effect_in_place() {
    let before = over(Algorithm::Weighted, &[3, 1]);
    assert_eq!(picks(&before, 2, any_usable), [0, 0]);
    let after = Balancer::new(Algorithm::Weighted, members(&[1, 1]), Some(&before));
    // It has been waiting for its turn.
    assert_eq!(picks(&after, 1, any_usable), [1]);
    assert_eq!(tally(&picks(&after, 100, any_usable)), HashMap::from([(0, 50), (1, 50)]));
}

/// Pearson's test: the sum of squared deviations, each over what was expected, is below the value
/// that chance alone exceeds once in 100,000 times (Wilson and Hilferty's approximation).
fn assert_fair(tally: &HashMap<usize, usize>, weights: &[u32]) {
    let as_float = |count: usize| f64::from(u32::try_from(count).expect("a small number"));
    let picks = as_float(tally.values().sum());
    let total = f64::from(weights.iter().sum::<u32>());
    let of = |index: usize| tally.get(&index).copied().map_or(0.0, as_float);
    let mut squares = 0.0;
    for (index, &weight) in weights.iter().enumerate() {
        let expected = picks * f64::from(weight) / total;
        match weight {
            0 => assert!(of(index) < 0.5, "weight 0 is never picked: {tally:?}"),
            _ => squares += (of(index) - expected).powi(2) / expected,
        }
    }
    let degrees = as_float(weights.iter().filter(|weight| **weight > 0).count()) - 1.0;
    let spread = 2.0 / (9.0 * degrees);
    let limit = degrees * (1.0 - spread + 4.265 * spread.sqrt()).powi(3);
    assert!(squares < limit, "chi-square {squares:.1}, limit {limit:.1}: {tally:?}");
}

#[test]
fn random_follows_the_weights() {
    let (random, members) = (Random::new(7), members(&[1, 0, 3, 4]));
    let picks: Vec<_> =
        (0..40_000).filter_map(|_| random.pick(&members, |index| index != 3)).collect();
    assert_fair(&tally(&picks), &[1, 0, 3, 0]);
}

#[test]
fn least_connections_prefers_the_free_and_counts_by_lease() {
    let balancer = Arc::new(over(Algorithm::LeastConnections, &[1, 1, 0]));
    let first = Lease::new(load(&balancer, 0));
    let second = Lease::new(load(&balancer, 0));
    assert_eq!((load(&balancer, 0).outstanding(), load(&balancer, 1).outstanding()), (2, 0));
    assert_eq!(picks(&balancer, 3, any_usable), [1, 1, 1]);

    drop((first, second));
    assert_eq!(load(&balancer, 0).outstanding(), 0);
    assert_eq!(tally(&picks(&balancer, 10, any_usable)), HashMap::from([(0, 5), (1, 5)]));
}

#[test]
fn least_connections_measures_load_by_weight() {
    let balancer = Arc::new(over(Algorithm::LeastConnections, &[1, 3]));
    let leases: Vec<_> = (0..40)
        .filter_map(|_| balancer.pick(0, START, any_usable))
        .map(|index| Lease::new(load(&balancer, index)))
        .collect();
    assert_eq!((load(&balancer, 0).outstanding(), load(&balancer, 1).outstanding()), (10, 30));
    drop(leases);
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
        let index = balancer.pick(0, START, any_usable).expect("all are usable");
        now += MILLISECOND;
        load(&balancer, index).observe(took[index], success[index], now);
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
    load(&balancer, 0).observe(100 * MILLISECOND, true, Duration::ZERO);
    let later = Duration::from_mins(2);
    load(&balancer, 1).observe(MILLISECOND, true, later);
    assert_eq!(balancer.pick(0, later, any_usable), Some(0));
}

#[test]
fn two_choices_do_not_heap_everything_on_one_that_hangs() {
    let balancer = Arc::new(over(Algorithm::TwoChoices, &[1, 1]));
    let mut hanging = Vec::new();
    for turn in 0..10_000 {
        match balancer.pick(0, START, any_usable) {
            Some(0) => hanging.push(Lease::new(load(&balancer, 0))),
            _ => load(&balancer, 1).observe(MILLISECOND, true, turn * MILLISECOND),
        }
    }
    assert_eq!(hanging.len(), 1);
}

#[test]
fn two_choices_see_what_is_under_way() {
    let balancer = Arc::new(over(Algorithm::TwoChoices, &[1, 1]));
    for index in [0, 1] {
        load(&balancer, index).observe(MILLISECOND, true, Duration::ZERO);
    }
    let _busy = Lease::new(load(&balancer, 0));
    assert_eq!(picks(&balancer, 100, any_usable), [1; 100]);
}

#[test]
fn keys_are_the_same_on_every_host() {
    assert_eq!(key_of(b"198.51.100.7"), 0xcdc9_805f_a06a_24e3);
    let balancer = over(Algorithm::Hash, &[1, 1, 1, 1]);
    // As another program has them.
    let picks: Vec<_> = (0..12).filter_map(|key| balancer.pick(key, START, any_usable)).collect();
    assert_eq!(picks, [3, 3, 2, 1, 3, 2, 0, 2, 0, 1, 2, 3]);
}

#[test]
fn hash_spreads_keys_by_the_weights() {
    let balancer = over(Algorithm::Hash, &[1, 0, 3]);
    let keys = (0..40_000_u32).map(|key| key_of(&key.to_le_bytes()));
    let picks: Vec<_> = keys.filter_map(|key| balancer.pick(key, START, any_usable)).collect();
    assert_fair(&tally(&picks), &[1, 0, 3]);
}

/// Of a pool large enough for the table: a hundred backends, of three weights.
fn large() -> Vec<u32> {
    (0..100).map(|index| index % 3 + 1).collect()
}

fn many_keys() -> impl Iterator<Item = u64> {
    (0..200_000_u64).map(mix)
}

#[test]
fn the_table_spreads_keys_by_the_weights() {
    let balancer = over(Algorithm::Sticky, &large());
    let picks: Vec<_> =
        many_keys().filter_map(|key| balancer.pick(key, START, any_usable)).collect();
    let (tally, total) = (tally(&picks), large().iter().sum::<u32>());
    for (index, weight) in large().iter().enumerate() {
        let share = tally[&index] * total as usize / *weight as usize;
        // The places are right to one or two in 330, the keys to 3 standard deviations of 7 %.
        assert!((160_000..=240_000).contains(&share), "{index}: {share}");
    }
}

#[test]
fn keys_of_one_that_is_not_usable_spread_over_all_others() {
    let balancer = over(Algorithm::Sticky, &[1; 100]);
    let mut heirs = HashMap::new();
    for key in many_keys() {
        let before = balancer.pick(key, START, any_usable);
        let after = balancer.pick(key, START, |index| index != 7);
        if before == Some(7) {
            *heirs.entry(after).or_insert(0) += 1;
        } else {
            assert_eq!(before, after);
        }
    }
    assert_eq!(heirs.len(), 99);
    assert!(heirs.values().all(|count| *count < 60), "{heirs:?}");
}

#[test]
fn the_table_moves_few_keys_when_the_list_changes() {
    let before = over(Algorithm::Sticky, &[1; 100]);
    let mut list = members(&[1; 100]);
    list.remove(7);
    let after = Balancer::new(Algorithm::Sticky, list, None);
    let (mut own, mut others) = (0, 0);
    for key in many_keys() {
        let old = before.pick(key, START, any_usable).expect("all are usable");
        let new = after.pick(key, START, any_usable).expect("all are usable");
        match (before.members[old].identity, after.members[new].identity) {
            (7, _) => own += 1,
            (old, new) if old != new => others += 1,
            _ => {}
        }
    }
    println!("of 200,000 keys {own} had to move, {others} others moved");
    assert!((1_500..=2_500).contains(&own), "{own}");
    assert!(others < own * 2, "{others}");
}

#[test]
fn the_lightest_answer_where_the_heavy_ones_are_down() {
    let mut weights = vec![1; 66];
    weights[..2].fill(65_535);
    let balancer = over(Algorithm::Hash, &weights);
    for key in many_keys().take(100) {
        let picked = balancer.pick(key, START, |index| index >= 2);
        assert!(picked.is_some_and(|index| index >= 2), "{picked:?}");
    }
}

#[test]
fn a_table_of_nobody_picks_nobody() {
    assert_eq!(over(Algorithm::Hash, &[0; 100]).pick(1, START, any_usable), None);
    assert_eq!(over(Algorithm::Hash, &[1; 100]).pick(1, START, |_| false), None);
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
            let before = balancer.pick(key, START, any_usable);
            let after = balancer.pick(key, START, |index| index != gone);
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
            let index = balancer.pick(key, START, any_usable).expect("all are usable");
            leases.push(Lease::new(load(&balancer, index)));
            let bound = (leases.len() as u64 * u64::from(weights[index]) * 125).div_ceil(total * 100);
            prop_assert!(u64::from(load(&balancer, index).outstanding()) <= bound);
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
                let picked = balancer.pick(0, START, |index| pool[index].1);
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
