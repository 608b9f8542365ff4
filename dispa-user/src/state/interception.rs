//! What is intercepted at this moment: learned names, their slots, and the kernel's maps, changed
//! together and in an order that never points a program at a slot that stands for nothing.

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::BorrowedFd,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Instant,
};

use crate::{
    dns::{Answer, Change, NameTable},
    kernel::{
        Assigned, Doors, Events, Heartbeat, Interceptor, KernelError, OutcomeCounts, OwnSockets,
        SlotLease, SlotTable,
    },
    types::HostName,
};

/// The intercepted names, addresses and slots, and the kernel side that acts on them.
#[derive(Debug)]
pub struct Interception {
    doors: Doors,
    ports: Vec<u16>,
    own_sockets: OwnSockets,
    heartbeat: Heartbeat,
    names: RwLock<NameTable>,
    slots: RwLock<SlotTable>,
    kernel: Mutex<Interceptor>,
}

/// What an answer added.
#[derive(Debug, Default)]
pub struct Learned {
    /// Addresses intercepted from now on.
    pub added: Vec<IpAddr>,
    /// Destinations that found no free slot; connections to them go direct.
    pub without_slot: usize,
}

/// A change of the kernel's maps that was refused; connections to the destination go direct.
#[derive(Debug, thiserror::Error)]
#[error("cannot intercept {destination}: {source}")]
pub struct LearnError {
    /// Which one.
    pub destination: SocketAddr,
    /// Why.
    pub source: KernelError,
}

/// What was going on when the daemon stopped.
#[derive(Clone, Copy, Debug, Default)]
pub struct StopReport {
    /// Outcomes of the connect hooks.
    pub outcomes: OutcomeCounts,
    /// Slots that stood for a destination.
    pub slots_in_use: usize,
    /// Slots a connection still held.
    pub slots_held: u64,
}

impl Interception {
    /// Takes over a loaded kernel side. Destinations are the learned addresses on `ports`.
    #[must_use]
    pub fn new(kernel: Interceptor, doors: Doors, ports: Vec<u16>) -> Self {
        Self {
            doors,
            ports,
            own_sockets: kernel.own_sockets(),
            heartbeat: kernel.heartbeat(),
            names: RwLock::default(),
            slots: RwLock::default(),
            kernel: Mutex::new(kernel),
        }
    }

    /// Starts redirecting connections made in the cgroup directory.
    pub fn attach(&self, cgroup: &Path) -> Result<(), KernelError> {
        self.kernel().attach(cgroup)
    }

    /// Stops redirecting: at once by the pause flag, then for good.
    pub fn detach(&self) {
        if let Err(error) = self.heartbeat.pause() {
            tracing::warn!(%error, "cannot pause; detaching all the same");
        }
        self.kernel().detach();
    }

    /// The original destination of a connection accepted at `local`, and a hold on its slot; `None`
    /// where `local` is no slot, or one that stands for nothing.
    #[must_use]
    pub fn arrived(&self, local: SocketAddr) -> Option<SlotLease> {
        let slot = self.doors.slot_of(local)?;
        read(&self.slots).lease(slot)
    }

    /// Whether `name` owns `address`: without that, a rule for `name` says nothing about it.
    #[must_use]
    pub fn owns(&self, name: &HostName, address: IpAddr) -> bool {
        read(&self.names).owns(name, address)
    }

    /// Marks a socket of the daemon, on its way to backend number `backend` (0: to none).
    pub fn mark(&self, socket: BorrowedFd<'_>, backend: u32) -> Result<(), KernelError> {
        self.own_sockets.mark(socket, backend)
    }

    /// The handle that keeps redirection alive.
    #[must_use]
    pub fn heartbeat(&self) -> &Heartbeat {
        &self.heartbeat
    }

    /// Notes an answer: its addresses are intercepted when this returns.
    pub fn learn(&self, answer: &Answer, now: Instant) -> Result<Learned, LearnError> {
        let Ok(addresses) = &answer.addresses else { return Ok(Learned::default()) };
        let addresses = addresses.iter().copied();
        let changes = write(&self.names).learn(&answer.name, addresses, answer.ttl, now);
        self.apply(&changes, now)
    }

    /// Forgets what ran out and frees the slots nobody needs any more.
    pub fn expire(&self, now: Instant) -> Result<(), LearnError> {
        let changes = write(&self.names).expire(now);
        self.apply(&changes, now)?;
        let freed = write(&self.slots).sweep(now);
        let mut kernel = self.kernel();
        for slot in freed {
            if let Err(error) = kernel.clear_slot(slot) {
                tracing::warn!(slot, %error, "cannot clear a slot");
            }
        }
        Ok(())
    }

    /// The kernel's debug events, if they are on; once.
    #[must_use]
    pub fn take_events(&self) -> Option<Events> {
        self.kernel().take_events()
    }

    /// The accounts at this moment.
    pub fn report(&self) -> Result<StopReport, KernelError> {
        let slots = read(&self.slots);
        Ok(StopReport {
            outcomes: self.kernel().outcomes()?,
            slots_in_use: slots.in_use(),
            slots_held: slots.held(),
        })
    }

    fn apply(&self, changes: &[Change], now: Instant) -> Result<Learned, LearnError> {
        let mut learned = Learned::default();
        for change in changes {
            match *change {
                Change::Added(address) => {
                    learned.without_slot += self.intercept(address)?;
                    learned.added.push(address);
                }
                Change::Removed(address) => self.release(address, now)?,
            }
        }
        Ok(learned)
    }

    /// Redirects every port of `address`; how many of them found no slot.
    fn intercept(&self, address: IpAddr) -> Result<usize, LearnError> {
        let mut without_slot = 0;
        for &port in &self.ports {
            let destination = SocketAddr::new(address, port);
            let slot = match write(&self.slots).assign(destination) {
                Assigned::Kept(slot) | Assigned::New(slot) => slot,
                Assigned::Full => {
                    without_slot += 1;
                    0
                }
            };
            self.kernel()
                .redirect(destination, slot)
                .map_err(|source| LearnError { destination, source })?;
        }
        Ok(without_slot)
    }

    fn release(&self, address: IpAddr, now: Instant) -> Result<(), LearnError> {
        for &port in &self.ports {
            let destination = SocketAddr::new(address, port);
            self.kernel()
                .release(destination)
                .map_err(|source| LearnError { destination, source })?;
            write(&self.slots).retire(destination, now);
        }
        Ok(())
    }

    fn kernel(&self) -> MutexGuard<'_, Interceptor> {
        self.kernel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
