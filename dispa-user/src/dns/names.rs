//! The learned names: which name owns which address, and until when.
//!
//! Pure: the clock is an argument. An address is intercepted as long as any name owns it.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::types::HostName;

/// An address is kept at least this long after it was learned, however short its TTL: programs
/// keep answers longer than they should.
const SHORTEST_LIFE: Duration = Duration::from_mins(1);

/// An address is kept this long past its TTL, for connections that are just being made.
const GRACE: Duration = Duration::from_secs(30);

/// Most addresses one name may own; the ones that expire first give way.
const MOST_ADDRESSES: usize = 50;

/// What an operation did to the set of intercepted addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its first owner came.
    Added(IpAddr),
    /// Its last owner went.
    Removed(IpAddr),
}

/// Names, the addresses they own, and the moment each ownership ends.
#[derive(Debug, Default)]
pub struct NameTable {
    names: HashMap<HostName, BTreeMap<IpAddr, Instant>>,
    owners: HashMap<IpAddr, usize>,
}

impl NameTable {
    /// Notes that `name` has `addresses` for `ttl` from `now` on. Addresses that a program must
    /// never be kept from (see [`is_learnable`]) are left out.
    pub fn learn(
        &mut self,
        name: &HostName,
        addresses: impl IntoIterator<Item = IpAddr>,
        ttl: Duration,
        now: Instant,
    ) -> Vec<Change> {
        let until = now + ttl.max(SHORTEST_LIFE) + GRACE;
        let mut changes = Vec::new();
        let owned = self.names.entry(name.clone()).or_default();
        for address in addresses.into_iter().map(|address| address.to_canonical()) {
            if is_learnable(address) && owned.insert(address, until).is_none() {
                changes.extend(gain(&mut self.owners, address));
            }
        }
        while owned.len() > MOST_ADDRESSES {
            let first = owned.iter().min_by_key(|(_, until)| **until).map(|(address, _)| *address);
            let Some(address) = first else { break };
            owned.remove(&address);
            changes.extend(lose(&mut self.owners, address));
        }
        cancelled_out(&changes)
    }

    /// Ends every ownership that is due.
    pub fn expire(&mut self, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        for owned in self.names.values_mut() {
            owned.retain(|address, until| {
                let keep = *until > now;
                if !keep {
                    changes.extend(lose(&mut self.owners, *address));
                }
                keep
            });
        }
        self.names.retain(|_, owned| !owned.is_empty());
        changes
    }

    /// Whether `name` owns `address`.
    #[must_use]
    pub fn owns(&self, name: &HostName, address: IpAddr) -> bool {
        self.names.get(name).is_some_and(|owned| owned.contains_key(&address))
    }
}

/// Whether an address may be intercepted at all: not one that stands for this host, its links, or
/// many hosts.
fn is_learnable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_loopback()
                || v4.is_unspecified()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast())
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unicast_link_local()
                || v6.is_multicast())
        }
    }
}

fn gain(owners: &mut HashMap<IpAddr, usize>, address: IpAddr) -> Option<Change> {
    let count = owners.entry(address).or_default();
    *count += 1;
    (*count == 1).then_some(Change::Added(address))
}

fn lose(owners: &mut HashMap<IpAddr, usize>, address: IpAddr) -> Option<Change> {
    let count = owners.get_mut(&address)?;
    *count -= 1;
    if *count > 0 {
        return None;
    }
    owners.remove(&address);
    Some(Change::Removed(address))
}

/// Drops an address that came and went in the same step.
fn cancelled_out(changes: &[Change]) -> Vec<Change> {
    let both = |address: &IpAddr| {
        changes.contains(&Change::Added(*address)) && changes.contains(&Change::Removed(*address))
    };
    changes
        .iter()
        .copied()
        .filter(|change| match change {
            Change::Added(address) | Change::Removed(address) => !both(address),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Change, GRACE, MOST_ADDRESSES, NameTable, SHORTEST_LIFE};
    use crate::types::HostName;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
    use std::{
        collections::HashSet,
        net::IpAddr,
        time::{Duration, Instant},
    };

    fn name(text: &str) -> HostName {
        HostName::parse(text).expect("a name")
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn an_address_is_intercepted_until_its_last_owner_goes() {
        let mut table = NameTable::default();
        let start = Instant::now();
        let shared = ip("192.0.2.1");
        assert_eq!(table.learn(&name("a.test"), [shared], HOUR, start), [Change::Added(shared)]);
        assert_eq!(table.learn(&name("b.test"), [shared], 2 * HOUR, start), []);
        assert_eq!(table.expire(start + HOUR + GRACE), []);
        assert!(!table.owns(&name("a.test"), shared));
        assert!(table.owns(&name("b.test"), shared));
        assert_eq!(table.expire(start + 2 * HOUR + GRACE), [Change::Removed(shared)]);
    }

    #[test]
    fn a_ttl_of_0_is_kept_for_the_shortest_life_and_the_grace() {
        let mut table = NameTable::default();
        let start = Instant::now();
        table.learn(&name("a.test"), [ip("192.0.2.1")], Duration::ZERO, start);
        let almost = SHORTEST_LIFE + GRACE.saturating_sub(Duration::from_millis(1));
        assert_eq!(table.expire(start + almost), []);
        assert_eq!(table.expire(start + SHORTEST_LIFE + GRACE), [Change::Removed(ip("192.0.2.1"))]);
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
        let changes = table.learn(&name("a.test"), never.map(ip), HOUR, Instant::now());
        assert_eq!(changes, []);
    }

    #[test]
    fn a_v4_mapped_address_is_learned_as_ipv4() {
        let mut table = NameTable::default();
        let changes = table.learn(&name("a.test"), [ip("::ffff:192.0.2.1")], HOUR, Instant::now());
        assert_eq!(changes, [Change::Added(ip("192.0.2.1"))]);
    }

    #[test]
    fn a_name_with_too_many_addresses_loses_those_that_expire_first() {
        let mut table = NameTable::default();
        let start = Instant::now();
        let old = ip("198.51.100.1");
        table.learn(&name("a.test"), [old], HOUR, start);
        let many = (0..MOST_ADDRESSES).map(|n| ip(&format!("192.0.2.{n}")));
        let changes = table.learn(&name("a.test"), many, 2 * HOUR, start);
        assert_eq!(changes.len(), MOST_ADDRESSES + 1);
        assert!(changes.contains(&Change::Removed(old)));
    }

    proptest! {
        /// The changes handed out always add up to what the table says it owns.
        #[test]
        fn changes_add_up_to_the_owned_addresses(
            steps in proptest::collection::vec((0..3_u8, 0..120_u8, 0..300_u64, 0..200_u64), 1..80)
        ) {
            let mut table = NameTable::default();
            let mut now = Instant::now();
            let mut intercepted = HashSet::new();
            let mut apply = |changes: Vec<Change>| -> bool {
                changes.into_iter().all(|change| match change {
                    Change::Added(address) => intercepted.insert(address),
                    Change::Removed(address) => intercepted.remove(&address),
                })
            };
            for (owner, octet, ttl, wait) in steps {
                now += Duration::from_secs(wait);
                prop_assert!(apply(table.expire(now)));
                let owner = name(["a.test", "b.test", "c.test"][usize::from(owner)]);
                let address = ip(&format!("192.0.2.{octet}"));
                let learned = table.learn(&owner, [address], Duration::from_secs(ttl), now);
                prop_assert!(apply(learned));
            }
            let owned: HashSet<_> = table.owners.keys().copied().collect();
            prop_assert_eq!(intercepted, owned);
        }
    }
}
