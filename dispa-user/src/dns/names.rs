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

/// However long its TTL, an address is not kept longer than this without a new answer: the bound
/// that RFC 8767 section 4 suggests to resolvers.
const LONGEST_LIFE: Duration = Duration::from_hours(7 * 24);

/// An address is kept this long past its TTL, for connections that are just being made.
const GRACE: Duration = Duration::from_secs(30);

/// An address that a connection still uses when it is due is kept this much longer, then looked at
/// again: a program that has a connection makes the next one without asking.
const IN_USE_LIFE: Duration = Duration::from_mins(1);

/// An address whose resolver does not answer is kept this long: twice the time to the next query.
const UNKNOWN_LIFE: Duration = Duration::from_mins(10);

/// Most addresses one name may own; the ones that expire first give way.
const MOST_ADDRESSES: usize = 50;

/// Most addresses of all names, an address counted once for each owner: any program can make up
/// names under a wildcard. With two ports they still find free slots (65,536).
const MOST_ADDRESSES_IN_ALL: usize = 20_000;

/// What an operation did to the set of intercepted addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its first owner came.
    Added(IpAddr),
    /// Its last owner went.
    Removed(IpAddr),
}

/// What [`NameTable::learn`] did, and what it left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// In the order in which they came about; no address twice.
    pub changes: Vec<Change>,
    /// How many addresses were not learned because the table is full.
    pub full: usize,
    /// How many addresses, new or old, found no room among the most that one name may own.
    pub crowded_out: usize,
}

/// Names, the addresses they own, and the moment each ownership ends.
#[derive(Debug, Default)]
pub struct NameTable {
    names: HashMap<HostName, BTreeMap<IpAddr, Instant>>,
    owners: HashMap<IpAddr, usize>,
    /// The sum over `names`, and over `owners`.
    owned: usize,
}

impl NameTable {
    /// Notes that `name` has `addresses` for `ttl` from `now` on. Addresses that a program must
    /// never be kept from (loopback, link-local, multicast) are left out. What was noted for longer,
    /// stays so: some program has the earlier answer.
    pub fn learn(
        &mut self,
        name: &HostName,
        addresses: impl IntoIterator<Item = IpAddr>,
        ttl: Duration,
        now: Instant,
    ) -> Noted {
        let until = now + ttl.clamp(SHORTEST_LIFE, LONGEST_LIFE) + GRACE;
        let mut noted = Noted::default();
        let canonical = addresses.into_iter().map(|address| address.to_canonical());
        let learnable = canonical.filter(|address| is_learnable(*address)).collect();
        // First, so that none of these gives way to a new one.
        let new = self.prolong(name, learnable, until);
        self.add(name, new, until, &mut noted);
        noted
    }

    /// Ends every ownership that is due, except of addresses in use by a connection.
    pub fn expire(&mut self, now: Instant, in_use: impl Fn(IpAddr) -> bool) -> Vec<Change> {
        let mut changes = Vec::new();
        for owned in self.names.values_mut() {
            owned.retain(|address, until| {
                if *until <= now && in_use(*address) {
                    *until = now + IN_USE_LIFE;
                }
                let keep = *until > now;
                if !keep {
                    self.owned -= 1;
                    changes.extend(lose(&mut self.owners, *address));
                }
                keep
            });
        }
        self.names.retain(|_, owned| !owned.is_empty());
        changes
    }

    /// Ends what names own that are to be forgotten.
    pub fn forget(&mut self, is_forgotten: impl Fn(&HostName) -> bool) -> Vec<Change> {
        let mut changes = Vec::new();
        for (_, owned) in self.names.extract_if(|name, _| is_forgotten(name)) {
            self.owned -= owned.len();
            changes.extend(owned.keys().filter_map(|address| lose(&mut self.owners, *address)));
        }
        changes
    }

    /// Nobody could be asked: what `name` owns, it owns for a while longer.
    pub fn keep(&mut self, name: &HostName, now: Instant) {
        if let Some(owned) = self.names.get_mut(name) {
            for until in owned.values_mut() {
                *until = (*until).max(now + UNKNOWN_LIFE);
            }
        }
    }

    /// Whether `name` owns `address`.
    #[must_use]
    pub fn owns(&self, name: &HostName, address: IpAddr) -> bool {
        self.names.get(name).is_some_and(|owned| owned.contains_key(&address))
    }

    /// The names that own `address`, in no order, and how much longer each does. Looks at every
    /// name: for explanations, not for connections.
    pub fn owners(
        &self,
        address: IpAddr,
        now: Instant,
    ) -> impl Iterator<Item = (&HostName, Duration)> {
        let address = address.to_canonical();
        self.names.iter().filter_map(move |(name, owned)| {
            Some((name, owned.get(&address)?.saturating_duration_since(now)))
        })
    }

    /// The addresses that `name` owns, in order, and how much longer it owns each.
    pub fn addresses(
        &self,
        name: &HostName,
        now: Instant,
    ) -> impl Iterator<Item = (IpAddr, Duration)> {
        let owned = self.names.get(name).into_iter().flatten();
        owned.map(move |(address, until)| (*address, until.saturating_duration_since(now)))
    }

    /// Every name that owns any address, in no order, with these.
    pub fn all(&self) -> impl Iterator<Item = (&HostName, impl Iterator<Item = IpAddr>)> {
        self.names.iter().map(|(name, owned)| (name, owned.keys().copied()))
    }

    /// How many addresses are owned, an address counted once for each owner.
    #[must_use]
    pub fn owned(&self) -> usize {
        self.owned
    }

    /// How many names own any.
    #[must_use]
    pub fn names(&self) -> usize {
        self.names.len()
    }

    /// Prolongs what `name` owns already; gives back the other addresses.
    fn prolong(
        &mut self,
        name: &HostName,
        mut addresses: Vec<IpAddr>,
        until: Instant,
    ) -> Vec<IpAddr> {
        if let Some(owned) = self.names.get_mut(name) {
            addresses.retain(|address| {
                let known = owned.get_mut(address);
                known.map(|end| *end = until.max(*end)).is_none()
            });
        }
        addresses
    }

    /// Adds `addresses`, which `name` does not own, as far as there is room.
    fn add(&mut self, name: &HostName, addresses: Vec<IpAddr>, until: Instant, noted: &mut Noted) {
        if addresses.is_empty() {
            return;
        }
        let owned = self.names.entry(name.clone()).or_default();
        for address in addresses {
            if owned.contains_key(&address) {
                continue; // Twice in the same answer.
            }
            if owned.len() >= MOST_ADDRESSES {
                noted.crowded_out += 1;
                let Some(first) = first_to_end_before(until, owned) else { continue };
                owned.remove(&first);
                self.owned -= 1;
                noted.changes.extend(lose(&mut self.owners, first));
            } else if self.owned >= MOST_ADDRESSES_IN_ALL {
                noted.full += 1;
                continue;
            }
            owned.insert(address, until);
            self.owned += 1;
            noted.changes.extend(gain(&mut self.owners, address));
        }
        if owned.is_empty() {
            self.names.remove(name);
        }
    }
}

/// The address that expires first, if that is before `until`.
fn first_to_end_before(until: Instant, owned: &BTreeMap<IpAddr, Instant>) -> Option<IpAddr> {
    let (first, end) = owned.iter().min_by_key(|(_, end)| **end)?;
    (*end < until).then_some(*first)
}

/// The first 48 bits of every IPv6 slot, `fd64:6973:7061::/48`; IPv4 slots are loopback anyway.
const SLOTS: [u16; 3] = [0xfd64, 0x6973, 0x7061];

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
                || v6.is_multicast()
                || v6.segments()[..3] == SLOTS)
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

#[cfg(test)]
mod tests;
