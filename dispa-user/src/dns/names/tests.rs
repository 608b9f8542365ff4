//! Who owns which address, for how long, and that the changes add up.

use super::{
    Change, GRACE, IN_USE_LIFE, LONGEST_LIFE, MOST_ADDRESSES, MOST_ADDRESSES_IN_ALL, NameTable,
    Noted, SHORTEST_LIFE, UNKNOWN_LIFE,
};
use crate::types::HostName;
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
use std::{
    collections::{BTreeMap, HashSet},
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

fn name(text: &str) -> HostName {
    HostName::parse(text).expect("a name")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

const HOUR: Duration = Duration::from_hours(1);

/// No connection uses any address.
const IDLE: fn(IpAddr) -> bool = |_| false;

/// The `n`th of many addresses.
fn nth(n: usize) -> IpAddr {
    Ipv4Addr::from_bits(0x0b00_0000 + u32::try_from(n).expect("not so many")).into()
}

#[test]
fn an_address_is_intercepted_until_its_last_owner_goes() {
    let mut table = NameTable::default();
    let start = Instant::now();
    let shared = ip("192.0.2.1");
    assert_eq!(
        table.learn(&name("a.test"), [shared], HOUR, start).changes,
        [Change::Added(shared)]
    );
    assert_eq!(table.learn(&name("b.test"), [shared], 2 * HOUR, start).changes, []);
    assert_eq!(table.expire(start + HOUR + GRACE, IDLE), []);
    assert!(!table.owns(&name("a.test"), shared));
    assert!(table.owns(&name("b.test"), shared));
    assert_eq!(table.expire(start + 2 * HOUR + GRACE, IDLE), [Change::Removed(shared)]);
}

#[test]
fn what_a_forgotten_name_shares_stays_with_the_others() {
    let mut table = NameTable::default();
    let now = Instant::now();
    let (shared, own) = (ip("192.0.2.1"), ip("192.0.2.2"));
    table.learn(&name("a.test"), [shared, own], HOUR, now);
    table.learn(&name("b.test"), [shared], HOUR, now);
    assert_eq!(table.forget(|it| it.as_str() == "a.test"), [Change::Removed(own)]);
    assert_eq!(table.owned(), 1);
    assert!(table.owns(&name("b.test"), shared) && !table.owns(&name("a.test"), shared));
    assert_eq!(table.forget(|_| true), [Change::Removed(shared)]);
    assert_eq!(table.owned(), 0);
}

#[test]
fn a_ttl_of_0_is_kept_for_the_shortest_life_and_the_grace() {
    let mut table = NameTable::default();
    let start = Instant::now();
    table.learn(&name("a.test"), [ip("192.0.2.1")], Duration::ZERO, start);
    let almost = SHORTEST_LIFE + GRACE.saturating_sub(Duration::from_millis(1));
    assert_eq!(table.expire(start + almost, IDLE), []);
    assert_eq!(
        table.expire(start + SHORTEST_LIFE + GRACE, IDLE),
        [Change::Removed(ip("192.0.2.1"))]
    );
}

#[test]
fn loopback_link_local_and_multicast_are_never_learned() {
    let mut table = NameTable::default();
    let never = [
        "127.0.0.1",
        "127.208.0.1",
        "0.0.0.0",
        "169.254.1.1",
        "224.0.0.1",
        "::1",
        "::",
        "255.255.255.255",
        "fe80::1",
        "ff02::1",
        "::ffff:127.0.0.1",
    ];
    let noted = table.learn(&name("a.test"), never.map(ip), HOUR, Instant::now());
    assert_eq!(noted, Noted::default());
    assert!(table.names.is_empty(), "a name that owns nothing takes no room");
}

#[test]
fn a_v4_mapped_address_is_learned_as_ipv4() {
    let mut table = NameTable::default();
    let noted = table.learn(&name("a.test"), [ip("::ffff:192.0.2.1")], HOUR, Instant::now());
    assert_eq!(noted.changes, [Change::Added(ip("192.0.2.1"))]);
}

#[test]
fn a_name_with_too_many_addresses_loses_those_that_expire_first() {
    let mut table = NameTable::default();
    let start = Instant::now();
    let old = ip("198.51.100.1");
    table.learn(&name("a.test"), [old], HOUR, start);
    let many = (0..MOST_ADDRESSES).map(|n| ip(&format!("192.0.2.{n}")));
    let noted = table.learn(&name("a.test"), many, 2 * HOUR, start);
    assert_eq!(noted.changes.len(), MOST_ADDRESSES + 1);
    assert!(noted.changes.contains(&Change::Removed(old)));
    assert_eq!(noted.crowded_out, 1);
}

#[test]
fn of_an_answer_with_too_many_addresses_the_first_are_learned() {
    let mut table = NameTable::default();
    let start = Instant::now();
    let noted = table.learn(&name("a.test"), (0..16_000).map(nth), HOUR, start);
    assert_eq!(noted.changes.len(), MOST_ADDRESSES);
    assert_eq!(noted.crowded_out, 16_000 - MOST_ADDRESSES);
    assert!((0..MOST_ADDRESSES).all(|n| table.owns(&name("a.test"), nth(n))));
}

#[test]
fn what_an_answer_repeats_does_not_give_way_to_what_is_new_in_it() {
    let mut table = NameTable::default();
    let start = Instant::now();
    table.learn(&name("a.test"), [nth(0)], HOUR, start);
    table.learn(&name("a.test"), (1..MOST_ADDRESSES).map(nth), 2 * HOUR, start);
    let noted = table.learn(&name("a.test"), [nth(100), nth(0)], 3 * HOUR, start);
    assert!(noted.changes.contains(&Change::Added(nth(100))));
    assert!(table.owns(&name("a.test"), nth(0)));
}

#[test]
fn a_shorter_ttl_does_not_take_back_a_longer_one() {
    let mut table = NameTable::default();
    let start = Instant::now();
    table.learn(&name("a.test"), [nth(0)], HOUR, start);
    table.learn(&name("a.test"), [nth(0)], Duration::ZERO, start);
    assert_eq!(table.expire(start + HOUR, IDLE), []);
}

#[test]
fn no_ttl_is_too_long() {
    let mut table = NameTable::default();
    let start = Instant::now();
    table.learn(&name("a.test"), [nth(0)], Duration::MAX, start);
    assert_eq!(table.expire(start + LONGEST_LIFE, IDLE), []);
    assert_eq!(table.expire(start + LONGEST_LIFE + GRACE, IDLE), [Change::Removed(nth(0))]);
}

#[test]
fn a_full_table_learns_no_more_and_says_so_until_something_expires() {
    let mut table = NameTable::default();
    let start = Instant::now();
    let shared = nth(0);
    for n in 0..MOST_ADDRESSES_IN_ALL {
        table.learn(&name(&format!("n{n}.test")), [shared], HOUR, start);
    }
    assert_eq!(table.owned(), MOST_ADDRESSES_IN_ALL, "owners count, not addresses");

    let late = name("late.test");
    let noted = table.learn(&late, [nth(1), nth(2)], HOUR, start);
    assert_eq!(noted, Noted { full: 2, ..Noted::default() });
    assert!(!table.names.contains_key(&late), "a name that owns nothing takes no room");

    let again = table.learn(&name("n0.test"), [shared], 2 * HOUR, start);
    assert_eq!(again, Noted::default(), "what is known can be prolonged");

    assert_eq!(table.expire(start + HOUR + GRACE, IDLE), [], "n0 still owns it");
    assert_eq!(table.owned(), 1);
    let noted = table.learn(&late, [nth(1)], HOUR, start);
    assert_eq!(noted.changes, [Change::Added(nth(1))]);
}

#[test]
fn a_full_table_still_follows_a_name_that_moves_within_its_own_room() {
    let mut table = NameTable::default();
    let start = Instant::now();
    for n in 0..MOST_ADDRESSES_IN_ALL / MOST_ADDRESSES {
        let of_this_one = (n * MOST_ADDRESSES..).take(MOST_ADDRESSES).map(nth);
        table.learn(&name(&format!("n{n}.test")), of_this_one, HOUR, start);
    }
    let fresh = nth(MOST_ADDRESSES_IN_ALL);
    let noted = table.learn(&name("n0.test"), [fresh], 2 * HOUR, start);
    assert_eq!(noted.changes, [Change::Removed(nth(0)), Change::Added(fresh)]);
    assert_eq!((noted.full, table.owned()), (0, MOST_ADDRESSES_IN_ALL));
}

#[test]
fn an_address_in_use_is_kept_until_it_no_longer_is() {
    let mut table = NameTable::default();
    let start = Instant::now();
    let [used, unused] = [nth(0), nth(1)];
    table.learn(&name("a.test"), [used, unused], HOUR, start);
    let due = start + HOUR + GRACE;
    assert_eq!(table.expire(due, |address| address == used), [Change::Removed(unused)]);
    assert!(table.owns(&name("a.test"), used));
    let almost = IN_USE_LIFE.saturating_sub(Duration::from_secs(1));
    assert_eq!(table.expire(due + almost, IDLE), []);
    assert_eq!(table.expire(due + IN_USE_LIFE, IDLE), [Change::Removed(used)]);
}

#[test]
fn the_table_tells_who_owns_what_and_for_how_long() {
    let mut table = NameTable::default();
    let start = Instant::now();
    let [a, b] = [name("a.test"), name("b.test")];
    table.learn(&a, [nth(0), nth(1)], HOUR, start);
    table.learn(&b, [nth(0)], 2 * HOUR, start);

    let later = start + GRACE;
    let owners: HashSet<_> = table.owners(nth(0), later).collect();
    assert_eq!(owners, HashSet::from([(&a, HOUR), (&b, 2 * HOUR)]));
    let addresses: Vec<_> = table.addresses(&a, later).collect();
    assert_eq!(addresses, [(nth(0), HOUR), (nth(1), HOUR)]);
    assert_eq!(table.addresses(&b, start + 9 * HOUR).next(), Some((nth(0), Duration::ZERO)));
    assert_eq!(table.owners(nth(2), start).count(), 0);
    assert_eq!(table.addresses(&name("c.test"), start).count(), 0);
}

proptest! {
    /// The changes handed out always add up to what the table says it owns, whatever answers come,
    /// run out or are in use, and no name owns more than it may.
    #[test]
    fn changes_add_up_to_the_owned_addresses(
        steps in proptest::collection::vec(
            (0..3_u8, proptest::collection::vec(0..120_usize, 1..60), 0..300_u64, 0..200_u64),
            1..80,
        ),
        used in proptest::collection::hash_set(0..120_usize, 0..10),
    ) {
        let used: HashSet<_> = used.into_iter().map(nth).collect();
        let mut table = NameTable::default();
        let mut now = Instant::now();
        let mut intercepted = HashSet::new();
        let mut apply = |changes: Vec<Change>| -> bool {
            changes.into_iter().all(|change| match change {
                Change::Added(address) => intercepted.insert(address),
                Change::Removed(address) => intercepted.remove(&address),
            })
        };
        for (owner, addresses, ttl, wait) in steps {
            now += Duration::from_secs(wait);
            prop_assert!(apply(table.expire(now, |address| used.contains(&address))));
            let owner = name(["a.test", "b.test", "c.test"][usize::from(owner)]);
            let addresses = addresses.into_iter().map(nth);
            let noted = table.learn(&owner, addresses, Duration::from_secs(ttl), now);
            prop_assert!(apply(noted.changes));
            prop_assert!(table.names.values().all(|owned| owned.len() <= MOST_ADDRESSES));
        }
        let owned: HashSet<_> = table.owners.keys().copied().collect();
        prop_assert_eq!(intercepted, owned);
        prop_assert_eq!(table.owned(), table.names.values().map(BTreeMap::len).sum::<usize>());
        prop_assert_eq!(table.owned(), table.owners.values().sum::<usize>());
    }
}

#[test]
fn what_nobody_can_be_asked_about_is_kept() {
    let mut table = NameTable::default();
    let start = Instant::now();
    table.learn(&name("a.test"), [nth(0)], Duration::ZERO, start);
    let end = start + SHORTEST_LIFE + GRACE;
    table.keep(&name("a.test"), end);
    assert_eq!(table.expire(end, IDLE), []);
    assert_eq!(table.expire(end + UNKNOWN_LIFE, IDLE), [Change::Removed(nth(0))]);
}
