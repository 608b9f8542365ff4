//! Whose connections are redirected, as the connect programs are told.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use aya::{
    Ebpf,
    maps::{HashMap, MapData},
};
use dispa_common::{maps, selection};

use super::KernelError;

/// What the programs are to look at. By default nothing: everybody's connections are redirected.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Flags of [`dispa_common::selection`].
    pub flags: u8,
    /// Users, with flags of [`selection::verdict`].
    pub users: Vec<(u32, u8)>,
}

impl Selection {
    /// Entries that the table of users needs.
    pub(super) const fn user_count(&self) -> u32 {
        if self.flags & selection::BY_USER != 0 { selection::USER_COUNT } else { 1 }
    }

    /// Entries that the table of cgroups needs.
    pub(super) const fn cgroup_count(&self) -> u32 {
        if self.flags & selection::BY_CGROUP != 0 { selection::CGROUP_COUNT } else { 1 }
    }

    /// Writes the users down.
    pub(super) fn write_users(&self, ebpf: &mut Ebpf) -> Result<(), KernelError> {
        let foreign = KernelError::Foreign(maps::SELECTED_USERS);
        let map = ebpf.map_mut(maps::SELECTED_USERS).ok_or(foreign)?;
        let failed = |source| KernelError::map(maps::SELECTED_USERS, source);
        let mut users = HashMap::<_, u32, u8>::try_from(map).map_err(failed)?;
        self.users.iter().try_for_each(|(user, flags)| users.insert(user, flags, 0)).map_err(failed)
    }
}

/// Handle on the table of cgroups, shared by all workers.
#[derive(Clone)]
pub struct SelectedCgroups(Arc<Mutex<HashMap<MapData, u64, u8>>>);

impl fmt::Debug for SelectedCgroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SelectedCgroups")
    }
}

impl SelectedCgroups {
    pub(super) fn new(table: HashMap<MapData, u64, u8>) -> Self {
        Self(Arc::new(Mutex::new(table)))
    }

    /// From now on connections made in the cgroup of this id are treated by these flags of
    /// [`selection::verdict`], until it is forgotten for others.
    pub fn judge(&self, cgroup: u64, flags: u8) -> Result<(), KernelError> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table
            .insert(cgroup, flags, 0)
            .map_err(|source| KernelError::map(maps::SELECTED_CGROUPS, source))
    }
}
