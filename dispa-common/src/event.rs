//! Debug events: one record for each outcome of the connect hooks, written only while they are on.

use crate::Origin;

/// One outcome of a connect hook.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// Cgroup v2 id of the task that connects.
    pub cgroup: u64,
    /// Process id, in the initial pid namespace.
    pub process: u32,
    /// User id, in the initial user namespace.
    pub user: u32,
    /// The original destination.
    pub origin: Origin,
    /// The slot it was sent to; 0 where it was passed.
    pub slot: u32,
    /// A [`crate::Counter`] as its index.
    pub outcome: u32,
    /// Always 0.
    pub padding: u32,
}
