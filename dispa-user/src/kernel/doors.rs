//! The doors that slots lead to, and the addresses of the slots there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use dispa_common::{slot_of_v4, slot_to_v4};

/// Where slots lead: the transparent door's listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doors {
    /// Port of the IPv4 listener.
    pub port4: u16,
    /// IPv6 listener, where this host has IPv6: its port, and the /64 of its slots.
    pub door6: Option<(u16, Ipv6Addr)>,
}

impl Doors {
    /// The address of `slot`, of the family of `like`, as programs are led to it; `None`: there is no door
    /// for that family.
    #[must_use]
    pub fn at(&self, slot: u32, like: IpAddr) -> Option<SocketAddr> {
        match like {
            IpAddr::V4(_) => Some((Ipv4Addr::from_bits(slot_to_v4(slot)), self.port4).into()),
            IpAddr::V6(_) => {
                let (port, prefix) = self.door6?;
                Some((Ipv6Addr::from_bits(prefix.to_bits() | u128::from(slot)), port).into())
            }
        }
    }

    /// What the daemon's probes of the path ask for, one of each family: slot 0 at the door. They are led to
    /// [`dispa_common::PROBE_SLOT`]; those that are not arrive at the door all the same, and tell.
    #[must_use]
    pub fn probed(&self) -> Vec<SocketAddr> {
        let families = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        families.into_iter().filter_map(|family| self.at(0, family)).collect()
    }

    /// The slot that `local`, the address something arrived at, is.
    #[must_use]
    pub fn slot_of(&self, local: IpAddr) -> Option<u32> {
        match local {
            IpAddr::V4(local) => slot_of_v4(local.to_bits()),
            IpAddr::V6(local) => {
                let (_, prefix) = self.door6?;
                let low = local.to_bits() ^ prefix.to_bits();
                u16::try_from(low).ok().map(u32::from)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Doors;
    use std::net::IpAddr;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_local_address_tells_its_slot() {
        let prefix = "fd64:6973:7061:1f90::".parse().expect("a prefix");
        let doors = Doors { port4: 8080, door6: Some((8080, prefix)) };
        assert_eq!(doors.slot_of(ip("127.208.1.2")), Some(0x0102));
        assert_eq!(doors.slot_of(ip("127.0.0.1")), None);
        assert_eq!(doors.slot_of(ip("fd64:6973:7061:1f90::102")), Some(0x0102));
        assert_eq!(doors.slot_of(ip("fd64:6973:7061:1f90::1:102")), None);
        assert_eq!(doors.slot_of(ip("::1")), None);
    }
}
