//! What the kernel programs and the daemon must agree on, byte for byte: map names and sizes,
//! keys, values, counter indices and the slot arithmetic.
//!
//! Every shared struct is `repr(C)`, plain integers, padding spelled out. The tests in this crate
//! pin the layout on the host; `dispa-ebpf` asserts the same sizes when it is compiled for BPF.
#![no_std]
#![forbid(unsafe_op_in_unsafe_fn)]

mod backend;
mod client;
mod counters;
mod destination;
mod event;
mod load;
pub mod selection;
mod slot;

pub use backend::{BACKEND_COUNT, BackendCounts};
pub use client::{CLIENT_COUNT, ClientProcess};
pub use counters::{COUNTER_COUNT, Counter};
pub use destination::{Destination4, Destination6, Origin};
pub use event::Event;
pub use load::{ClientGroup, GREEDY_COUNT, level};
pub use slot::{
    PROBE_SLOT, PROBE_SOURCE4, SLOT_COUNT, SLOT4_BASE, SLOT4_MASK, SlotPrefix6, slot_of_v4,
    slot_to_v4,
};

/// Name of each map in the object, as both sides look it up.
pub mod maps {
    /// Hash: [`crate::Destination4`] -> slot number.
    pub const DESTINATIONS4: &str = "DESTINATIONS4";
    /// Hash: [`crate::Destination6`] -> slot number.
    pub const DESTINATIONS6: &str = "DESTINATIONS6";
    /// Array by slot number: [`crate::Origin`].
    pub const SLOTS: &str = "SLOTS";
    /// Array of one [`crate::Control`].
    pub const CONTROL: &str = "CONTROL";
    /// Per-CPU array by [`crate::Counter`]: `u64`.
    pub const COUNTERS: &str = "COUNTERS";
    /// Socket storage: [`crate::OwnSocket`] on every upstream socket of the daemon.
    pub const OWN_SOCKETS: &str = "OWN_SOCKETS";
    /// Ring buffer of [`crate::Event`].
    pub const EVENTS: &str = "EVENTS";
    /// Queue of slot numbers that the programs may give to a destination themselves.
    pub const FREE_SLOTS: &str = "FREE_SLOTS";
    /// Array of `u64`, one bit for each port that is redirected whatever the address.
    pub const CAUGHT_PORTS: &str = "CAUGHT_PORTS";
    /// LRU hash by the cookie of the socket of a connection to a door: [`crate::ClientProcess`].
    pub const CLIENTS: &str = "CLIENTS";
    /// Hash by user id: [`crate::selection::verdict`] flags.
    pub const SELECTED_USERS: &str = "SELECTED_USERS";
    /// LRU hash by cgroup v2 id: [`crate::selection::verdict`] flags.
    pub const SELECTED_CGROUPS: &str = "SELECTED_CGROUPS";
    /// Hash by [`crate::ClientGroup`]: those that have more than their share of connections.
    pub const GREEDY: &str = "GREEDY";
    /// Per-CPU hash by backend number: [`crate::BackendCounts`]. Entries are made by the daemon alone.
    pub const BACKENDS: &str = "BACKENDS";
}

/// Name of each program in the object.
pub mod programs {
    /// `cgroup/connect4`.
    pub const CONNECT4: &str = "dispa_connect4";
    /// `cgroup/connect6`.
    pub const CONNECT6: &str = "dispa_connect6";
    /// `cgroup/getpeername4`.
    pub const GETPEERNAME4: &str = "dispa_peer4";
    /// `cgroup/getpeername6`.
    pub const GETPEERNAME6: &str = "dispa_peer6";
    /// `cgroup/sendmsg4`.
    pub const SENDMSG4: &str = "dispa_send4";
    /// `cgroup/sendmsg6`.
    pub const SENDMSG6: &str = "dispa_send6";
    /// `cgroup/recvmsg4`.
    pub const RECVMSG4: &str = "dispa_receive4";
    /// `cgroup/recvmsg6`.
    pub const RECVMSG6: &str = "dispa_receive6";
    /// `sock_ops`.
    pub const SOCK_OPS: &str = "dispa_backends";
}

/// Name of each read-only global the daemon sets before loading; the verifier folds them.
pub mod globals {
    /// `u64`: cookie of the network namespace the daemon lives in; others are passed.
    pub const NETNS_COOKIE: &str = "NETNS_COOKIE";
    /// `u16`, network byte order: port of the IPv4 transparent door.
    pub const DOOR_PORT4: &str = "DOOR_PORT4";
    /// `u16`, network byte order: port of the IPv6 transparent door; 0 where there is no IPv6.
    pub const DOOR_PORT6: &str = "DOOR_PORT6";
    /// [`crate::SlotPrefix6`]: upper 64 bits of every IPv6 slot.
    pub const SLOT_PREFIX6: &str = "SLOT_PREFIX6";
    /// `u8`: 1 redirects DNS, port 53 of every address over UDP and TCP.
    pub const DNS_ON: &str = "DNS_ON";
    /// `u8`: 1 redirects every address on the ports of [`crate::maps::CAUGHT_PORTS`].
    pub const CATCH_ALL: &str = "CATCH_ALL";
    /// `u8`: 1 remembers in [`crate::maps::CLIENTS`] who connects, 0 removes that code.
    pub const CLIENTS_ON: &str = "CLIENTS_ON";
    /// `u16`, network byte order: port of the explicit door, connections to which are remembered as
    /// well; 0 removes that code.
    pub const EXPLICIT_PORT: &str = "EXPLICIT_PORT";
    /// `[u32; 4]`, network byte order, IPv4 as v4-mapped: address of the explicit door.
    pub const EXPLICIT_ADDRESS: &str = "EXPLICIT_ADDRESS";
    /// `u8`: [`crate::selection`] flags, 0 removes that code.
    pub const SELECTION: &str = "SELECTION";
    /// `u8`: 1 writes an [`crate::Event`] for each outcome, 0 removes that code.
    pub const EVENTS_ON: &str = "EVENTS_ON";
}

/// Most destinations of one family that can be intercepted at once; the hash maps' size.
pub const DESTINATION_COUNT: u32 = 65_536;

/// Most slots that wait in [`maps::FREE_SLOTS`]: destinations that can be met for the first time
/// between two looks of the daemon.
pub const FREE_SLOT_COUNT: u32 = 4096;

/// Words of [`maps::CAUGHT_PORTS`]: a bit for each of the 65,536 ports.
pub const PORT_WORDS: u32 = 1024;

/// The port of DNS, host byte order.
pub const DNS_PORT: u16 = 53;

/// Bytes of the event ring while debug events are on (it is one page while they are off).
pub const EVENT_RING_BYTES: u32 = 256 * 1024;

/// A heartbeat older than this makes the kernel side pass connections on: 1 s, four missed
/// stamps of 250 ms.
pub const HEARTBEAT_LIMIT_NS: u64 = 1_000_000_000;

/// `SO_PRIORITY` that an instance's program puts on its own daemon's sockets, so that the program
/// of another instance, later in the chain, knows them for a proxy's and does not send them back.
///
/// The low nibble is 0, which every Linux qdisc treats as best effort.
pub const PROXY_PRIORITY: u32 = 0xd15b_0000;

/// What the daemon tells the programs while they run; entry 0 of [`maps::CONTROL`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// The oldest stamp of any worker: nanoseconds of `CLOCK_MONOTONIC` (`bpf_ktime_get_ns`).
    pub heartbeat_ns: u64,
    /// 1: pass every connection on.
    pub paused: u32,
    /// How much room there is: one of [`level`].
    pub load: u32,
}

/// Storage of a socket that belongs to the daemon itself; see [`maps::OWN_SOCKETS`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnSocket {
    /// [`OwnSocket::BYPASS`] or [`OwnSocket::PROBE`].
    pub flags: u32,
    /// Number of the backend the socket leads to; 0 for none.
    pub backend: u32,
}

impl OwnSocket {
    /// The connect programs leave this socket alone.
    pub const BYPASS: u32 = 1;
    /// Redirected like a program's, whoever is selected, to see whether it arrives.
    pub const PROBE: u32 = 2;
}

#[cfg(feature = "user")]
#[expect(unsafe_code, reason = "aya's marker for types that are valid for every bit pattern")]
mod pod {
    // SAFETY: repr(C), integers only, no implicit padding (the layout tests check sizes).
    unsafe impl aya::Pod for crate::Control {}
    // SAFETY: as above.
    unsafe impl aya::Pod for crate::ClientProcess {}
    // SAFETY: as above.
    unsafe impl aya::Pod for crate::ClientGroup {}
    // SAFETY: as above.
    unsafe impl aya::Pod for crate::OwnSocket {}
    // SAFETY: as above.
    unsafe impl aya::Pod for crate::Destination4 {}
    // SAFETY: as above.
    unsafe impl aya::Pod for crate::Destination6 {}
    // SAFETY: as above.
    unsafe impl aya::Pod for crate::Origin {}
    // SAFETY: as above.
    unsafe impl aya::Pod for crate::SlotPrefix6 {}
    // SAFETY: as above.
    unsafe impl aya::Pod for crate::BackendCounts {}
}

#[cfg(test)]
mod tests {
    use super::{
        BackendCounts, ClientGroup, ClientProcess, Control, Destination4, Destination6, Event,
        Origin, OwnSocket, SlotPrefix6,
    };
    use core::mem::{align_of, size_of};

    #[test]
    fn shared_structs_have_the_layout_the_kernel_side_asserts() {
        assert_eq!((size_of::<Control>(), align_of::<Control>()), (16, 8));
        assert_eq!((size_of::<OwnSocket>(), align_of::<OwnSocket>()), (8, 4));
        assert_eq!((size_of::<ClientProcess>(), align_of::<ClientProcess>()), (24, 8));
        assert_eq!((size_of::<ClientGroup>(), align_of::<ClientGroup>()), (16, 8));
        assert_eq!((size_of::<Destination4>(), align_of::<Destination4>()), (8, 4));
        assert_eq!((size_of::<Destination6>(), align_of::<Destination6>()), (20, 4));
        assert_eq!((size_of::<Origin>(), align_of::<Origin>()), (20, 4));
        assert_eq!((size_of::<SlotPrefix6>(), align_of::<SlotPrefix6>()), (8, 4));
        assert_eq!((size_of::<Event>(), align_of::<Event>()), (56, 8));
        assert_eq!((size_of::<BackendCounts>(), align_of::<BackendCounts>()), (56, 8));
    }
}
