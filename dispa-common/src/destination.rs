//! The addresses programs ask for, as map keys and as slot values. All in network byte order.

/// Key of an intercepted IPv4 destination. A v4-mapped IPv6 destination is looked up as this.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Destination4 {
    /// Network byte order.
    pub address: u32,
    /// Network byte order.
    pub port: u16,
    /// Always 0: it is part of the hashed key.
    pub padding: u16,
}

/// Key of an intercepted IPv6 destination.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Destination6 {
    /// Network byte order.
    pub address: [u32; 4],
    /// Network byte order.
    pub port: u16,
    /// Always 0: it is part of the hashed key.
    pub padding: u16,
}

/// The original destination a slot stands for; an IPv4 one is held v4-mapped.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Network byte order; all zero while the slot stands for nothing.
    pub address: [u32; 4],
    /// Network byte order.
    pub port: u16,
    /// 1 while the slot stands for something.
    pub used: u16,
}

impl Origin {
    /// Third word of every v4-mapped address (`::ffff:0:0/96`, RFC 4291 section 2.5.5.2).
    pub const MAPPED: u32 = 0xffff_u32.to_be();

    /// The origin of an IPv4 destination, both arguments in network byte order.
    #[inline]
    #[must_use]
    pub const fn v4(address: u32, port: u16) -> Self {
        Self { address: [0, 0, Self::MAPPED, address], port, used: 1 }
    }

    /// The origin of an IPv6 destination, both arguments in network byte order.
    #[inline]
    #[must_use]
    pub const fn v6(address: [u32; 4], port: u16) -> Self {
        Self { address, port, used: 1 }
    }
}
