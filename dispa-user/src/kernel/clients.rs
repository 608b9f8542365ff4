//! Which program made a connection, as the connect hooks remember it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aya::maps::{HashMap, MapData};
use dispa_common::ClientProcess;

use super::clock::boot_ns;

/// How many entries are looked at for old ones at once; workers wait meanwhile, some 100 µs.
const MOST_AT_ONCE: usize = 256;

/// Longer than a redirected connection waits to be accepted by a daemon that is alive.
const OLD_NS: u64 = 60_000_000_000;

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

    /// The program whose socket has this cookie (`SO_COOKIE`), which is then forgotten; `None` if it is
    /// not remembered.
    #[must_use]
    pub fn take(&self, cookie: u64) -> Option<ClientProcess> {
        let mut table = self.table();
        let client = table.get(&cookie, 0).ok()?;
        // Nobody else takes it.
        let _ = table.remove(&cookie);
        Some(client)
    }

    /// Forgets some of the connections that were made long ago and never accepted: while the table has
    /// room, nothing has to make way for a new one inside `connect()`.
    pub fn forget_old(&self) {
        let now_ns = boot_ns();
        let mut table = self.table();
        let is_old = |client: &ClientProcess| now_ns.saturating_sub(client.at_ns) > OLD_NS;
        let some = table.iter().take(MOST_AT_ONCE).filter_map(Result::ok);
        let old: Vec<_> = some.filter(|(_, client)| is_old(client)).map(|it| it.0).collect();
        for cookie in old {
            // It may be accepted after all, just now.
            let _ = table.remove(&cookie);
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<MapData, u64, ClientProcess>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
