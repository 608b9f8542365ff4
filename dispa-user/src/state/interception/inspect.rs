//! Whether all that connections need on their way is there, as far as it can be seen without one. Nothing
//! here takes a capability.

use std::{
    fs, io,
    net::SocketAddr,
    os::{fd::BorrowedFd, unix::fs::MetadataExt as _},
    sync::atomic::Ordering,
    time::Duration,
};

use dispa_common::{HEARTBEAT_LIMIT_NS, PROBE_SLOT};

use super::{Interception, lock, path::Fault, path::Path, read};
use crate::kernel::{KernelError, monotonic_ns};

/// Entries of the tables that are compared at a time: some 2 ms. The others have their turn.
const MOST_ENTRIES: usize = 1024;

impl Interception {
    /// What is known of the way that connections take.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is not as it should be. `oldest_ns` is the oldest stamp of any worker.
    #[must_use]
    pub fn inspect(&self, oldest_ns: u64) -> Vec<Fault> {
        let unreadable = |error: KernelError| Some(Fault::Unreadable(error.to_string()));
        let attached = self.inspect_attachments();
        let attached = attached.unwrap_or_else(|it| Some(Fault::Unreadable(it.to_string())));
        let control = self.inspect_control(oldest_ns).unwrap_or_else(unreadable);
        let tables = self.inspect_tables().unwrap_or_else(unreadable);
        [attached, control, tables].into_iter().flatten().collect()
    }

    fn inspect_attachments(&self) -> io::Result<Option<Fault>> {
        let Some(directory) = self.attached() else { return Ok(None) };
        let attachments = self.kernel().attachments()?;
        let cgroup = match fs::metadata(directory) {
            Ok(found) => found.ino(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(Fault::CgroupRemoved(directory.to_owned())));
            }
            Err(error) => return Err(error),
        };
        let elsewhere: Vec<_> = attachments.iter().filter(|it| it.1 != Some(cgroup)).collect();
        // A cgroup takes all of its links along.
        Ok(match elsewhere.len() {
            0 => None,
            count if count == attachments.len() => {
                Some(Fault::CgroupReplaced(directory.to_owned()))
            }
            _ => Some(Fault::Detached(elsewhere.iter().map(|it| it.0).collect())),
        })
    }

    fn inspect_control(&self, oldest_ns: u64) -> Result<Option<Fault>, KernelError> {
        let (told_ns, paused) = self.heartbeat.told()?;
        let silent_ns = monotonic_ns().saturating_sub(told_ns.min(oldest_ns));
        Ok(if paused {
            Some(Fault::Paused)
        } else if silent_ns > HEARTBEAT_LIMIT_NS {
            Some(Fault::Silent(Duration::from_nanos(silent_ns)))
        } else {
            None
        })
    }

    fn inspect_tables(&self) -> Result<Option<Fault>, KernelError> {
        let _unchanged = lock(&self.changing);
        let begin = self.path.next_entry.load(Ordering::Relaxed);
        let entries: Vec<_> = read(&self.slots).wanted().skip(begin).take(MOST_ENTRIES).collect();
        let next = if entries.len() < MOST_ENTRIES { 0 } else { begin + MOST_ENTRIES };
        self.path.next_entry.store(next, Ordering::Relaxed);
        let probed = self.doors.probed().into_iter().map(|asked| (asked, PROBE_SLOT));
        let (mut count, mut example) = (0, None);
        for (destination, slot) in entries.into_iter().chain(probed) {
            if let Some(other) = self.differs(destination, slot)? {
                count += 1;
                example.get_or_insert(other);
            }
        }
        Ok(example.map(|example| Fault::Tables { count, example }))
    }

    /// What is to be said of an entry that is another one.
    fn differs(&self, destination: SocketAddr, slot: u32) -> Result<Option<String>, KernelError> {
        let kernel = self.kernel();
        if kernel.lookup(destination)? != Some(slot) {
            return Ok(Some(destination.to_string()));
        }
        // Nobody asks for the peer of a probe.
        let is_known = slot == PROBE_SLOT || kernel.origin(slot)? == Some(destination);
        Ok((!is_known).then(|| format!("slot {slot} of {destination}")))
    }

    /// One of the destinations that are intercepted, over IPv4: another one for each `turn`.
    #[must_use]
    pub fn one_destination(&self, turn: usize) -> Option<SocketAddr> {
        let slots = read(&self.slots);
        let wanted = || slots.wanted().map(|it| it.0).filter(SocketAddr::is_ipv4);
        let count = wanted().count();
        wanted().nth(turn.checked_rem(count)?)
    }

    /// Marks a socket, not yet connected, as a probe of the path.
    pub fn mark_probe(&self, socket: BorrowedFd<'_>) -> Result<(), KernelError> {
        self.own_sockets.mark_probe(socket)
    }

    /// The destination of the slot `local` that a probe arrived at.
    #[must_use]
    pub fn probed_at(&self, local: SocketAddr) -> Option<SocketAddr> {
        match self.doors.slot_of(local.ip())? {
            PROBE_SLOT => self.doors.at(0, local.ip()),
            slot => Some(read(&self.slots).lease(slot)?.destination()),
        }
    }
}
