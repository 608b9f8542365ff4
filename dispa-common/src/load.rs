//! How much room the daemon has for connections, and who has more of it than their share.

/// Values of [`crate::Control::load`].
pub mod level {
    /// There is room for everybody.
    pub const ROOM: u32 = 0;
    /// There is room, but not for those in [`crate::maps::GREEDY`].
    pub const CROWDED: u32 = 1;
    /// There is no room: TCP connections are passed, DNS over UDP is not.
    pub const FULL: u32 = 2;
}

/// Entries of [`crate::maps::GREEDY`]. Two at once can have half of all connections, a few more while
/// others' are on their way.
pub const GREEDY_COUNT: u32 = 64;

/// Programs that share what room there is: those of one user in one cgroup. A program can change neither
/// unless it is privileged, and whatever it starts counts with it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientGroup {
    /// Cgroup v2 id of the task.
    pub cgroup: u64,
    /// User id, in the initial user namespace.
    pub user: u32,
    /// Always 0: part of the hashed key.
    pub padding: u32,
}
