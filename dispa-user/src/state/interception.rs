//! What is intercepted at this moment: learned names, their slots, and the kernel's maps, changed
//! together and in an order that never points a program at a slot that stands for nothing.

mod inspect;
mod known;
mod path;

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dispa_common::{BackendCounts, FREE_SLOT_COUNT};

use crate::{
    attribution::Attribution,
    config::{Intercept, Scope},
    dns::{Change, Lesson, NameTable, Noted},
    keeper::{Keeper, KeeperError, Lookup},
    kernel::{
        Assigned, Doors, Events, Greedy, Heartbeat, Interceptor, KernelError, OwnSockets,
        SlotLease, SlotTable,
    },
    life::Rarely,
    rules::Rules,
    types::HostName,
};

pub use known::Report;
pub use path::{Fault, Finding, Path as EffectivePath, PathStanding, ProbeCounts};

/// Slots kept on offer to the kernel programs. Fewer than their queue holds, so that one given back
/// always finds room.
const OFFER: usize = FREE_SLOT_COUNT as usize / 2;

/// How long a destination that nobody named keeps its slot unused; and how long when slots are
/// running short.
const IDLE_LIMIT: Duration = Duration::from_mins(5);
const SHORT_IDLE_LIMIT: Duration = Duration::from_secs(30);

/// How long a resolver that refuses is left to tell programs so by itself.
const LEAVE_ALONE: Duration = Duration::from_secs(30);

/// How often the kernel's tables are read through, a system call for each entry.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// How often the same trouble is worth a line.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// The intercepted names, addresses and slots, and the kernel side that acts on them.
#[derive(Debug)]
pub struct Interception {
    doors: Doors,
    ports: Vec<u16>,
    scope: Scope,
    own_sockets: OwnSockets,
    keeper: Arc<Keeper>,
    /// Whether our own connections pass our own programs.
    is_inside: bool,
    heartbeat: Heartbeat,
    greedy: Greedy,
    attribution: Option<Attribution>,
    backends: RwLock<HashSet<SocketAddr>>,
    /// What is intercepted: nothing else is learned, whatever was asked for before.
    rules: RwLock<Rules>,
    /// Held from a change of the names to the same change of the kernel's maps, so that both see all
    /// changes in one order. Taken before every other lock here.
    changing: Mutex<()>,
    names: RwLock<NameTable>,
    slots: RwLock<SlotTable>,
    kernel: Mutex<Interceptor>,
    left_alone: Mutex<HashMap<SocketAddr, Instant>>,
    /// Why the kernel does not count for the backends, if it was asked to and does not.
    not_counted: OnceLock<String>,
    /// The cgroup whose programs are intercepted.
    attached: OnceLock<PathBuf>,
    path: EffectivePath,
    not_learned: AtomicU64,
    look: Rarely,
    warn_full: Rarely,
    warn_backend: Rarely,
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

impl Interception {
    /// Takes over a loaded kernel side; `is_inside` if this process is among those whose connections are
    /// intercepted. The destinations `backends` are not intercepted: they are where
    /// traffic goes to.
    #[must_use]
    pub fn new(
        kernel: Interceptor,
        doors: Doors,
        intercept: &Intercept,
        rules: &Rules,
        backends: impl IntoIterator<Item = SocketAddr>,
        keeper: &Arc<Keeper>,
        is_inside: bool,
    ) -> Self {
        let lookup = &Lookup::Kept(Arc::clone(keeper));
        let attribute =
            |clients| Attribution::new(clients, kernel.selected_cgroups(), intercept, lookup);
        let interception = Self {
            doors,
            ports: intercept.ports.clone(),
            scope: intercept.scope,
            own_sockets: kernel.own_sockets(),
            keeper: Arc::clone(keeper),
            is_inside,
            heartbeat: kernel.heartbeat(),
            greedy: kernel.greedy(),
            attribution: kernel.clients().map(attribute),
            backends: RwLock::new(backends.into_iter().collect()),
            rules: RwLock::new(rules.clone()),
            changing: Mutex::new(()),
            names: RwLock::default(),
            slots: RwLock::default(),
            kernel: Mutex::new(kernel),
            left_alone: Mutex::default(),
            not_counted: OnceLock::new(),
            attached: OnceLock::new(),
            path: EffectivePath::default(),
            not_learned: AtomicU64::new(0),
            look: Rarely::new(LOOK_EVERY),
            warn_full: Rarely::new(WARN_EVERY),
            warn_backend: Rarely::new(WARN_EVERY),
        };
        interception.offer_slots();
        interception
    }

    /// Redirects connections made in the cgroup directory, to which the programs are attached, from now on.
    pub fn begin(&self, cgroup: &Path) -> Result<(), KernelError> {
        if let Some(attribution) = &self.attribution {
            attribution.attached(cgroup);
        }
        self.kernel().begin()?;
        // It is attached once.
        let _ = self.attached.set(cgroup.to_owned());
        Ok(())
    }

    /// Attaches the programs anew, where they should be: the cgroup was made again, or somebody detached them.
    /// What they were attached by before is let go of.
    pub fn reattach(&self) -> Result<(), KeeperError> {
        let links = self.keeper.attach()?;
        self.kernel().adopt(links);
        Ok(())
    }

    /// Has the kernel count what passes between this process and these backends, unless there is a reason
    /// why it does not. Nothing depends on it: that is logged, and all goes on without.
    pub fn count_backends(&self, numbers: impl IntoIterator<Item = u32>, not: Option<String>) {
        let counted = match not {
            Some(reason) => Err(reason),
            None => self.kernel().watch_backends(numbers).map_err(|error| error.to_string()),
        };
        if let Err(reason) = counted {
            tracing::info!(reason, "the kernel does not count for the targets");
            // A second reason is no news.
            let _ = self.not_counted.set(reason);
        }
    }

    /// Has the kernel count for these backends as well, from 0; those it counts for already go on.
    pub fn watch_backends(
        &self,
        numbers: impl IntoIterator<Item = u32>,
    ) -> Result<(), KernelError> {
        self.kernel().watch_backends(numbers)
    }

    /// The kernel's counts for this backend end, and are gone.
    pub fn forget_backend(&self, number: u32) -> Result<(), KernelError> {
        self.kernel().forget_backend(number)
    }

    /// What the kernel counted for backend number `number`; `None` where it does not count for it.
    pub fn backend_counts(&self, number: u32) -> Result<Option<BackendCounts>, KernelError> {
        self.kernel().backend_counts(number)
    }

    /// Why the kernel does not count for the backends; `None` where it does.
    #[must_use]
    pub fn why_not_counted(&self) -> Option<&str> {
        self.not_counted.get().map(String::as_str)
    }

    /// Another daemon redirects from now on. The programs stay, so that it knows our sockets by them: those
    /// of what is still under way.
    pub fn hand_over(&self) {
        if let Err(error) = self.heartbeat.pause() {
            tracing::warn!(%error, "cannot pause: both daemons intercept until this one ends");
        }
    }

    /// Stops redirecting: at once by the pause flag, then for good.
    pub fn detach(&self) {
        if let Err(error) = self.heartbeat.pause() {
            tracing::warn!(%error, "cannot pause; detaching all the same");
        }
        self.kernel().detach();
    }

    /// The original destination of what arrived at the slot `local`, and a hold on it; `None` where
    /// `local` is no slot, or one that stands for nothing.
    #[must_use]
    pub fn arrived(&self, local: IpAddr) -> Option<SlotLease> {
        let slot = self.doors.slot_of(local)?;
        let lease = read(&self.slots).lease(slot);
        lease.or_else(|| self.adopt(slot))
    }

    /// A slot that the kernel programs have given out since the last look.
    fn adopt(&self, slot: u32) -> Option<SlotLease> {
        let destination = self.kernel().origin(slot).ok()??;
        write(&self.slots).adopt(slot, destination);
        self.offer_slots();
        read(&self.slots).lease(slot)
    }

    /// Whether a rule for `name` says anything about a connection to `address`: only where it is
    /// that very name's, or where the address is no matter at all.
    #[must_use]
    pub fn concerns(&self, name: &HostName, address: IpAddr) -> bool {
        match self.scope {
            Scope::All => true,
            Scope::Learned => read(&self.names).owns(name, address),
        }
    }

    /// Whether `address` is that of any intercepted domain. Looks at every name, unless only such
    /// addresses are redirected anyway.
    #[must_use]
    pub fn is_learned(&self, address: IpAddr) -> bool {
        match self.scope {
            Scope::All => !self.names_of(address, Instant::now()).is_empty(),
            Scope::Learned => true,
        }
    }

    /// Marks a socket of the daemon, on its way to backend number `backend` (0: to none).
    pub fn mark(&self, socket: BorrowedFd<'_>, backend: u32) -> Result<(), KernelError> {
        // Programs of other instances know what ours have seen; what they never see, by the keeper.
        if !self.is_inside
            && let Err(error) = self.keeper.prioritize(socket)
        {
            tracing::debug!(%error, "another instance may not know this socket");
        }
        self.own_sockets.mark(socket, backend)
    }

    /// Tells who made a connection; `None` where nobody wants to know.
    #[must_use]
    pub fn attribution(&self) -> Option<&Attribution> {
        self.attribution.as_ref()
    }

    /// The handle that keeps redirection alive.
    #[must_use]
    pub fn heartbeat(&self) -> &Heartbeat {
        &self.heartbeat
    }

    /// The table of those that have more than their share of connections.
    #[must_use]
    pub const fn greedy(&self) -> &Greedy {
        &self.greedy
    }

    /// Notes what an answer taught: its addresses are intercepted when this returns. What cannot be
    /// is logged, and goes direct.
    pub fn learn(&self, lesson: &Lesson, now: Instant) {
        let _one_at_a_time = lock(&self.changing);
        if read(&self.rules).find(&lesson.name).is_none() {
            return;
        }
        let addresses = lesson.addresses.iter().copied();
        let noted = write(&self.names).learn(&lesson.name, addresses, lesson.ttl, now);
        let Noted { changes, full, crowded_out } = noted;
        let mut without_room = full + crowded_out;
        for change in changes {
            match self.apply(change, now) {
                Ok(without_slot) => without_room += without_slot,
                Err(error) => tracing::warn!(name = %lesson.name, %error, "not intercepted"),
            }
            if let Change::Added(address) = change {
                tracing::info!(name = %lesson.name, %address, "learned");
            }
        }
        self.note_without_room(lesson, without_room, now);
    }

    /// Other rules from now on, and other backends: names that no rule is for any more are forgotten,
    /// what is a backend's own address now is left alone, what was one is not. Open connections go on.
    pub fn follow(
        &self,
        rules: &Rules,
        backends: impl IntoIterator<Item = SocketAddr>,
        now: Instant,
    ) {
        let _one_at_a_time = lock(&self.changing);
        *write(&self.rules) = rules.clone();
        let backends: HashSet<_> = backends.into_iter().collect();
        let before = std::mem::replace(&mut *write(&self.backends), backends.clone());
        let changes = write(&self.names).forget(|name| rules.find(name).is_none());
        for change in changes {
            if let Err(error) = self.apply(change, now) {
                tracing::warn!(%error, "cannot let go of an address");
            }
        }
        for destination in backends.iter().filter(|it| self.slot_of(**it).is_some()) {
            if let Err(error) = self.release(*destination, now) {
                tracing::warn!(%error, "cannot let go of a target's address");
            }
        }
        for destination in before.difference(&backends).filter(|it| self.is_wanted(**it, now)) {
            if let Err(error) = self.intercept(*destination) {
                tracing::warn!(%error, "not intercepted");
            }
        }
    }

    /// Whether some name owns its address, and its port is looked at.
    fn is_wanted(&self, destination: SocketAddr, now: Instant) -> bool {
        let names = read(&self.names);
        self.ports.contains(&destination.port())
            && names.owners(destination.ip(), now).next().is_some()
    }

    /// Nobody knows whether `name` still has its addresses: what it owns, it owns a while longer.
    pub fn keep(&self, name: &HostName, now: Instant) {
        write(&self.names).keep(name, now);
    }

    fn note_without_room(&self, lesson: &Lesson, count: usize, now: Instant) {
        if count == 0 {
            return;
        }
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let total = self.not_learned.fetch_add(count, Ordering::Relaxed) + count;
        if self.warn_full.now(now) {
            tracing::warn!(
                name = %lesson.name, total,
                "no room for more addresses; connections to them go direct"
            );
        }
    }

    /// Forgets what ran out, frees the slots nobody needs any more, and offers free ones.
    pub fn tidy(&self, now: Instant) {
        let _one_at_a_time = lock(&self.changing);
        self.take_up(now);
        self.adopt_unseen(now);
        let changes = write(&self.names).expire(now, |address| self.is_in_use(address));
        for change in changes {
            if let Err(error) = self.apply(change, now) {
                tracing::warn!(%error, "cannot let go of an address");
            }
        }
        for destination in self.idle(now) {
            if let Err(error) = self.release(destination, now) {
                tracing::warn!(%error, "cannot let go of a destination");
            }
        }
        self.free_slots(now);
        self.offer_slots();
        if let Some(attribution) = &self.attribution {
            attribution.tidy();
        }
    }

    /// Cleared first: a free slot may be on offer, and in use, at once.
    fn free_slots(&self, now: Instant) {
        let due = write(&self.slots).due(now);
        for slot in due {
            match self.kernel().clear_slot(slot) {
                Ok(()) => write(&self.slots).free(slot),
                Err(error) => tracing::warn!(slot, %error, "cannot clear a slot"),
            }
        }
    }

    /// Leaves `destination` alone for a while, though it is of a kind that is redirected: somebody
    /// else has something to say to those who ask there.
    pub fn leave_alone(&self, destination: SocketAddr, now: Instant) {
        let slot = read(&self.slots).slot_of(destination);
        if let Err(error) = self.kernel().pass(destination) {
            tracing::warn!(%destination, %error, "cannot leave it alone");
            return;
        }
        self.retire(slot, now);
        lock(&self.left_alone).insert(destination, now + LEAVE_ALONE);
    }

    /// Takes up again what was left alone for long enough.
    fn take_up(&self, now: Instant) {
        lock(&self.left_alone).retain(|destination, until| {
            let later = *until > now;
            if !later && let Err(error) = self.kernel().release(*destination) {
                tracing::warn!(%destination, %error, "stays left alone");
            }
            later
        });
    }

    /// The kernel's debug events, if they are on; once.
    pub fn take_events(&self) -> Result<Option<Events>, KernelError> {
        self.kernel().take_events()
    }

    /// Destinations that have a slot by the kernel programs' doing but never arrived: a program
    /// gave up, or was killed, in between.
    fn adopt_unseen(&self, now: Instant) {
        if !self.look.now(now) {
            return;
        }
        let destinations = self.kernel().destinations();
        let mut slots = write(&self.slots);
        for (destination, slot) in destinations {
            slots.adopt(slot, destination);
        }
    }

    fn idle(&self, now: Instant) -> Vec<SocketAddr> {
        let mut slots = write(&self.slots);
        let short = slots.offered() < OFFER / 2;
        slots.idle(now, if short { SHORT_IDLE_LIMIT } else { IDLE_LIMIT })
    }

    fn is_in_use(&self, address: IpAddr) -> bool {
        let slots = read(&self.slots);
        self.ports.iter().any(|&port| slots.is_held(SocketAddr::new(address, port)))
    }

    fn offer_slots(&self) {
        let fresh = write(&self.slots).offer(OFFER);
        let mut kernel = self.kernel();
        for slot in fresh {
            if let Err(error) = kernel.offer(slot) {
                tracing::warn!(slot, %error, "cannot offer a slot to the kernel programs");
            }
        }
    }

    /// Carries one change over to the kernel's maps; how many destinations found no slot.
    fn apply(&self, change: Change, now: Instant) -> Result<usize, LearnError> {
        let mut without_slot = 0;
        for &port in &self.ports {
            match change {
                // Without a door there is nothing to lead its connections to.
                Change::Added(IpAddr::V6(_)) if self.doors.door6.is_none() => {}
                Change::Added(address) => {
                    let slotted = self.intercept(SocketAddr::new(address, port))?;
                    without_slot += usize::from(!slotted);
                }
                Change::Removed(address) => self.release(SocketAddr::new(address, port), now)?,
            }
        }
        Ok(without_slot)
    }

    /// Redirects `destination`; whether there was a slot for it.
    fn intercept(&self, destination: SocketAddr) -> Result<bool, LearnError> {
        if read(&self.backends).contains(&destination) {
            if self.warn_backend.now(Instant::now()) {
                tracing::warn!(%destination, "not intercepted: it is a backend's own address");
            }
            return Ok(true);
        }
        let slot = match write(&self.slots).assign(destination) {
            Assigned::Kept(slot) | Assigned::New(slot) => slot,
            Assigned::Full => 0,
        };
        let given = self
            .kernel()
            .redirect(destination, slot)
            .map_err(|source| LearnError { destination, source })?;
        if given != slot {
            write(&self.slots).yield_to_kernel(destination, slot, given, Instant::now());
        }
        Ok(given != 0)
    }

    fn release(&self, destination: SocketAddr, now: Instant) -> Result<(), LearnError> {
        // Read before the kernel lets go: after that it may give the destination another one.
        let slot = read(&self.slots).slot_of(destination);
        self.kernel().release(destination).map_err(|source| LearnError { destination, source })?;
        self.retire(slot, now);
        Ok(())
    }

    fn retire(&self, slot: Option<u32>, now: Instant) {
        if let Some(slot) = slot {
            write(&self.slots).retire_slot(slot, now);
        }
    }

    fn kernel(&self) -> MutexGuard<'_, Interceptor> {
        lock(&self.kernel)
    }
}

fn lock<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
