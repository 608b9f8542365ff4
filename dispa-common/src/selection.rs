//! Whose connections are redirected, where not everybody's are: by user and by cgroup.

/// Users that can be named; the hash map's size.
pub const USER_COUNT: u32 = 1024;

/// Cgroups that are known at once; the least recently asked for is forgotten first, and met anew.
pub const CGROUP_COUNT: u32 = 4096;

/// In [`crate::globals::SELECTION`]: users are looked up in [`crate::maps::SELECTED_USERS`].
pub const BY_USER: u8 = 1;
/// Cgroups are looked up in [`crate::maps::SELECTED_CGROUPS`].
pub const BY_CGROUP: u8 = 2;
/// Users that are not [`verdict::INCLUDED`] are passed, whatever their cgroup.
pub const USERS_ONLY: u8 = 4;

/// Flags of a user or a cgroup.
pub mod verdict {
    /// Its connections are passed.
    pub const EXCLUDED: u8 = 1;
    /// Of a user: its connections are redirected, in whatever cgroup they are made that is not
    /// [`EXCLUDED`].
    pub const INCLUDED: u8 = 2;
    /// Of a cgroup: its connections are passed, but for those of an [`INCLUDED`] user.
    pub const NOT_INCLUDED: u8 = 4;
}
