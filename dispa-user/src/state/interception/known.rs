//! What is known at this moment, for those who ask. No connection waits for it.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{Interception, read};
use crate::{
    attribution::{Attribution, Counts},
    dns::Lesson,
    kernel::{Doors, KernelError, OutcomeCounts},
    types::HostName,
};

/// The accounts of the interception at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Outcomes of the kernel programs.
    pub outcomes: OutcomeCounts,
    /// Slots that stand for a destination.
    pub slots_in_use: usize,
    /// Holds of connections on slots.
    pub slots_held: u64,
    /// Slots that neither stand for a destination nor rest.
    pub slots_free: usize,
    /// Addresses that were not learned for want of room, since the start.
    pub not_learned: u64,
    /// Connections, by what is known of who made them.
    pub attributed: Counts,
    /// Names that own addresses.
    pub names: usize,
    /// Addresses that names own, one for each owner.
    pub addresses: usize,
}

impl Interception {
    /// The accounts at this moment.
    pub fn report(&self) -> Result<Report, KernelError> {
        let outcomes = self.kernel().outcomes()?;
        let (names, addresses) = {
            let names = read(&self.names);
            (names.names(), names.owned())
        };
        let slots = read(&self.slots);
        Ok(Report {
            outcomes,
            slots_in_use: slots.in_use(),
            slots_held: slots.held(),
            slots_free: slots.free_count(),
            names,
            addresses,
            not_learned: self.not_learned.load(Ordering::Relaxed),
            attributed: self.attribution.as_ref().map(Attribution::counts).unwrap_or_default(),
        })
    }

    /// The directory of the cgroup whose programs are intercepted; none before they are.
    #[must_use]
    pub fn attached(&self) -> Option<&Path> {
        self.attached.get().map(PathBuf::as_path)
    }

    /// The ports of the doors that slots lead to.
    #[must_use]
    pub fn doors(&self) -> Doors {
        self.doors
    }

    /// Every name that was learned, in no order, and its addresses.
    #[must_use]
    pub fn learned(&self) -> Vec<(HostName, Vec<IpAddr>)> {
        let names = read(&self.names);
        names.all().map(|(name, addresses)| (name.clone(), addresses.collect())).collect()
    }

    /// What another daemon must be taught to know as much: each name with its addresses, for as long as it
    /// owns the last of them.
    #[must_use]
    pub fn lessons(&self, now: Instant) -> Vec<Lesson> {
        let names = read(&self.names);
        let lesson = |(name, _): (&HostName, _)| {
            let (addresses, left): (Vec<_>, Vec<_>) = names.addresses(name, now).unzip();
            let ttl = left.into_iter().max()?;
            Some(Lesson { name: name.clone(), addresses, ttl })
        };
        names.all().filter_map(lesson).collect()
    }

    /// The addresses that `name` owns, in order. For explanations.
    #[must_use]
    pub fn addresses_of(&self, name: &HostName, now: Instant) -> Vec<IpAddr> {
        read(&self.names).addresses(name, now).map(|(address, _)| address).collect()
    }

    /// The names that own `address`, in order, and how much longer each does. Looks at every name:
    /// for explanations, not for connections.
    #[must_use]
    pub fn names_of(&self, address: IpAddr, now: Instant) -> Vec<(HostName, Duration)> {
        let mut owners: Vec<_> = read(&self.names)
            .owners(address, now)
            .map(|(name, remaining)| (name.clone(), remaining))
            .collect();
        owners.sort_unstable();
        owners
    }

    /// The address of the slot that stands for `destination`, if one does that the daemon knows of;
    /// one that the kernel programs have just given out is known when it is first used.
    #[must_use]
    pub fn slot_of(&self, destination: SocketAddr) -> Option<IpAddr> {
        let slot = read(&self.slots).slot_of(destination)?;
        self.doors.at(slot, destination.ip()).map(|at| at.ip())
    }

    /// Whether connections to IPv6 addresses can be redirected on this host.
    #[must_use]
    pub fn redirects_ipv6(&self) -> bool {
        self.doors.door6.is_some()
    }
}
