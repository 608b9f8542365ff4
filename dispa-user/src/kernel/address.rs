//! Socket addresses as the kernel's maps hold them, and back.

use std::net::{Ipv6Addr, SocketAddr};

use dispa_common::{Destination4, Destination6, Origin};

/// The address an [`Origin`] stands for, v4-mapped ones as IPv4.
pub(super) fn origin_address(origin: &Origin) -> SocketAddr {
    let mut bytes = [0; 16];
    for (chunk, word) in bytes.chunks_exact_mut(4).zip(origin.address) {
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
    let address = Ipv6Addr::from(bytes).to_canonical();
    SocketAddr::new(address, u16::from_be(origin.port))
}

/// The key of a destination in the map of its family.
pub(super) enum Key {
    V4(Destination4),
    V6(Destination6),
}

pub(super) fn key_of(destination: SocketAddr) -> Key {
    let port = destination.port().to_be();
    match destination {
        SocketAddr::V4(v4) => {
            Key::V4(Destination4 { address: v4.ip().to_bits().to_be(), port, padding: 0 })
        }
        SocketAddr::V6(v6) => Key::V6(Destination6 { address: words(*v6.ip()), port, padding: 0 }),
    }
}

pub(super) fn origin_of(destination: SocketAddr) -> Origin {
    match key_of(destination) {
        Key::V4(key) => Origin::v4(key.address, key.port),
        Key::V6(key) => Origin::v6(key.address, key.port),
    }
}

/// The address as the four words that stand in memory, network byte order.
pub(super) fn words(address: Ipv6Addr) -> [u32; 4] {
    let octets = address.octets();
    let word = |at: usize| {
        u32::from_ne_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
    };
    [word(0), word(4), word(8), word(12)]
}

#[cfg(test)]
mod tests {
    use super::{origin_address, origin_of};
    use std::net::SocketAddr;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_origin_survives_the_way_through_the_kernel_map() {
        for text in ["192.0.2.1:80", "[2001:db8::1]:443", "[::1]:1", "255.255.255.255:65535"] {
            assert_eq!(origin_address(&origin_of(address(text))), address(text));
        }
    }
}
