//! Who has more than their share of connections, as the connect programs are told.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use aya::maps::{HashMap, MapData};
use dispa_common::{ClientGroup, maps};

use super::KernelError;

/// Handle on the table of those that have more than their share.
#[derive(Clone)]
pub struct Greedy(Arc<Mutex<HashMap<MapData, ClientGroup, u8>>>);

impl fmt::Debug for Greedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Greedy")
    }
}

impl Greedy {
    pub(super) fn new(table: HashMap<MapData, ClientGroup, u8>) -> Self {
        Self(Arc::new(Mutex::new(table)))
    }

    /// Whether connections of `group` are passed while few more can be opened.
    pub fn mark(&self, group: ClientGroup, is_greedy: bool) -> Result<(), KernelError> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let marked = if is_greedy { table.insert(group, 1, 0) } else { table.remove(&group) };
        marked.map_err(|source| KernelError::map(maps::GREEDY, source))
    }
}
