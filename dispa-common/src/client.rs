//! Who a connection to one of the doors belongs to.

/// Connections whose program is remembered at once, from `connect()` to the daemon's accept; the least
/// recently made is forgotten first.
pub const CLIENT_COUNT: u32 = 16_384;

/// The program that made a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientProcess {
    /// When it connected: nanoseconds since the boot, suspension included (`CLOCK_BOOTTIME`), as the
    /// start of a process is told.
    pub at_ns: u64,
    /// Cgroup v2 id of the task.
    pub cgroup: u64,
    /// Process id, in the initial pid namespace.
    pub process: u32,
    /// User id, in the initial user namespace.
    pub user: u32,
}
