//! Where a program wanted to go before it was redirected.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The IP address and port that the program asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OriginalDestination(pub SocketAddr);

impl OriginalDestination {
    /// Takes an address as the kernel reports it: one that an IPv6 socket writes as v4-mapped
    /// (`::ffff:192.0.2.1`) is the IPv4 address, so that both spellings compare equal.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        match address.ip().to_canonical() {
            ip @ IpAddr::V4(_) => Self(SocketAddr::new(ip, address.port())),
            // Kept whole: a link-local IPv6 address means nothing without its scope.
            IpAddr::V6(_) => Self(address),
        }
    }
}

impl fmt::Display for OriginalDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(address: &str) -> String {
        OriginalDestination::new(address.parse().expect("a socket address")).to_string()
    }

    #[test]
    fn v4_mapped_is_v4() {
        assert_eq!(shown("[::ffff:192.0.2.1]:443"), "192.0.2.1:443");
        assert_eq!(shown("192.0.2.1:443"), "192.0.2.1:443");
    }

    #[test]
    fn v6_keeps_its_scope() {
        assert_eq!(shown("[2001:db8::1]:80"), "[2001:db8::1]:80");
        assert_eq!(shown("[fe80::1%3]:80"), "[fe80::1%3]:80");
    }
}
