//! Handles on the loaded kernel side that workers hold: signs of life, and marks on own sockets.

use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd as _},
    sync::{Arc, Mutex, PoisonError},
};

use aya::maps::{Array, MapData, SkStorage};
use dispa_common::{Control, Counter, OwnSocket, PROXY_PRIORITY, maps};
use nix::sys::socket::{setsockopt, sockopt};

use super::KernelError;

/// Counts of each outcome of the connect hooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutcomeCounts([u64; Counter::ALL.len()]);

impl OutcomeCounts {
    pub(super) fn set(&mut self, counter: Counter, count: u64) {
        self.0[counter as usize] = count;
    }

    /// The count of one outcome.
    #[must_use]
    pub fn of(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }
}

/// Tells the kernel side that the daemon is alive, or that it is to pass everything on.
#[derive(Clone)]
pub struct Heartbeat {
    control: Arc<Mutex<(Control, Array<MapData, Control>)>>,
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeat").finish_non_exhaustive()
    }
}

impl Heartbeat {
    pub(super) fn new(control: Array<MapData, Control>) -> Self {
        Self { control: Arc::new(Mutex::new((Control::default(), control))) }
    }

    /// The oldest stamp of any worker, in ns of [`super::monotonic_ns`].
    pub fn beat(&self, oldest_ns: u64) -> Result<(), KernelError> {
        self.update(|control| control.heartbeat_ns = oldest_ns)
    }

    /// Passes every connection on from now on.
    pub fn pause(&self) -> Result<(), KernelError> {
        self.update(|control| control.paused = 1)
    }

    /// Ends the pause.
    pub fn resume(&self) -> Result<(), KernelError> {
        self.update(|control| control.paused = 0)
    }

    /// What the programs read at this moment, whoever wrote it: the oldest stamp, and whether they pass
    /// everything on.
    pub fn told(&self) -> Result<(u64, bool), KernelError> {
        let guard = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let told = guard.1.get(&0, 0).map_err(|source| KernelError::map(maps::CONTROL, source))?;
        Ok((told.heartbeat_ns, told.paused != 0))
    }

    /// How much room there is, of [`dispa_common::level`].
    pub fn load(&self, level: u32) -> Result<(), KernelError> {
        self.update(|control| control.load = level)
    }

    fn update(&self, change: impl FnOnce(&mut Control)) -> Result<(), KernelError> {
        let mut guard = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let (control, map) = &mut *guard;
        change(control);
        map.set(0, *control, 0).map_err(|source| KernelError::map(maps::CONTROL, source))
    }
}

/// Marks sockets as the daemon's own, so that the connect programs leave them alone.
#[derive(Clone, Debug)]
pub struct OwnSockets {
    storage: Arc<Mutex<SkStorage<MapData, OwnSocket>>>,
}

impl OwnSockets {
    pub(super) fn new(storage: SkStorage<MapData, OwnSocket>) -> Self {
        Self { storage: Arc::new(Mutex::new(storage)) }
    }

    /// Marks `socket`, not yet connected, as leading to `backend` (0: to none of them).
    ///
    /// Programs of another instance cannot see that mark. They know the priority, which ours set too
    /// where they run first; sockets that ours never see need [`prioritize`].
    pub fn mark(&self, socket: impl AsFd, backend: u32) -> Result<(), KernelError> {
        self.write(socket, OwnSocket { flags: OwnSocket::BYPASS, backend })
    }

    /// Marks `socket`, not yet connected, as a probe of the path.
    pub fn mark_probe(&self, socket: impl AsFd) -> Result<(), KernelError> {
        self.write(socket, OwnSocket { flags: OwnSocket::PROBE, backend: 0 })
    }

    fn write(&self, socket: impl AsFd, own: OwnSocket) -> Result<(), KernelError> {
        let mut storage = self.storage.lock().unwrap_or_else(PoisonError::into_inner);
        storage
            .insert(&socket.as_fd().as_raw_fd(), own, 0)
            .map_err(|source| KernelError::map(maps::OWN_SOCKETS, source))
    }
}

/// Gives `socket`, not yet connected, the priority by which programs of every instance know that it is a
/// daemon's. Needs `CAP_NET_ADMIN` (socket(7)).
pub fn prioritize(socket: impl AsFd) -> io::Result<()> {
    let priority = i32::from_ne_bytes(PROXY_PRIORITY.to_ne_bytes());
    Ok(setsockopt(&socket, sockopt::Priority, &priority)?)
}
