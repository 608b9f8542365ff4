//! What a running daemon knows of a subject at one moment.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use super::{
    Subject,
    explanation::{Learned, Owner, Slot},
};
use crate::{state::Interception, types::HostName};

/// What a running daemon knows of a subject at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The addresses in question: the learned ones of a name, or the one asked about.
    pub addresses: Vec<Learned>,
    /// Whether connections to IPv6 addresses can be redirected on this host.
    pub ipv6: bool,
}

impl Facts {
    /// Gathers them. Takes short looks one after the other, so that whoever learns need not wait for
    /// all of it.
    #[must_use]
    pub fn gather(
        subject: &Subject,
        ports: &[u16],
        interception: &Interception,
        now: Instant,
    ) -> Self {
        let addresses: Vec<IpAddr> = match (subject.address(), subject.host()) {
            (Some(address), _) => vec![address],
            (None, Some(host)) => interception.addresses_of(host, now),
            (None, None) => Vec::new(),
        };
        let learned = |address| {
            let slot = |port| {
                let slot = interception.slot_of(SocketAddr::new(address, port))?;
                Some(Slot { port, address: slot })
            };
            Learned {
                address,
                owners: interception.names_of(address, now).iter().map(Owner::of).collect(),
                slots: ports.iter().filter_map(|&port| slot(port)).collect(),
            }
        };
        let addresses = addresses.into_iter().map(learned).collect();
        Self { addresses, ipv6: interception.redirects_ipv6() }
    }
}

impl Owner {
    fn of((name, remaining): &(HostName, Duration)) -> Self {
        Self { name: name.to_string(), remaining_seconds: remaining.as_secs() }
    }
}
