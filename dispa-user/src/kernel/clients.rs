//! Which program made a connection, as the connect hooks remember it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use aya::maps::{HashMap, MapData};
use dispa_common::ClientProcess;

/// Handle on the table of programs, shared by all workers.
#[derive(Clone)]
pub struct Clients(Arc<Mutex<HashMap<MapData, u64, ClientProcess>>>);

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clients")
    }
}

impl Clients {
    pub(super) fn new(table: HashMap<MapData, u64, ClientProcess>) -> Self {
        Self(Arc::new(Mutex::new(table)))
    }

    /// The program whose socket has this cookie (`SO_COOKIE`); `None` if it is not remembered.
    #[must_use]
    pub fn of(&self, cookie: u64) -> Option<ClientProcess> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&cookie, 0).ok()
    }
}
