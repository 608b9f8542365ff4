//! How many connections of clients may be open at once, and what is said where that is not enough:
//! the kernel side then leaves new ones alone.

mod crowd;

use std::{
    io,
    os::fd::RawFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dispa_common::{ClientGroup, level};

use super::Interception;
use crate::{
    config::Server,
    kernel::{Greedy, Heartbeat},
    life::{
        Rarely, descriptor_limit, memory_is_short, memory_limit, note_memory, open_descriptors,
        own_memory,
    },
};

use crowd::Crowd;
pub use crowd::Level;

/// Descriptors that a connection takes: its own, and one to where it leads.
const EACH: usize = 2;

/// What a worker opens once it runs: epoll, timers, netlink, pipes.
const WORKER: usize = 16;

/// Descriptors kept for everything else (DNS, kept connections, logs, whoever asks): a sixteenth of
/// all, but at least and at most so many.
const FEWEST_SPARE: usize = 64;
const MOST_SPARE: usize = 4096;

/// How often it is worth a line that there is no room.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// How many connections of clients are open, of all workers, and how many may be.
#[derive(Debug)]
pub struct Capacity {
    crowd: Mutex<Crowd>,
    descriptors: Descriptors,
    /// Descriptors have run short, and it was not seen yet that there are enough again.
    lacks_descriptors: AtomicBool,
    /// Bytes of memory that this process may have.
    memory: AtomicU64,
    kernel: Option<(Heartbeat, Greedy)>,
    /// What the kernel side was last told, of [`level`].
    told: AtomicU32,
    warn: Rarely,
}

/// What there is of descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Descriptors {
    limit: usize,
    /// Kept free.
    spare: usize,
    /// Connections for which there are enough.
    connections: usize,
}

/// How full it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupancy {
    /// Connections of clients that are open.
    pub open: usize,
    /// How many may be.
    pub most: usize,
    /// What that means for new ones.
    pub level: Level,
    /// What there is too little of for more.
    pub short_of: Option<Shortage>,
}

/// What there can be too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Open files.
    Descriptors,
    /// Memory.
    Memory,
}

impl Shortage {
    /// The word that people and machines read.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Descriptors => "descriptors",
            Self::Memory => "memory",
        }
    }
}

/// A connection that is open until this is dropped.
#[derive(Debug)]
pub struct Seat(Arc<Capacity>);

/// A connection that counts for its group until this is dropped.
#[derive(Debug)]
pub struct Share(Arc<Capacity>, ClientGroup);

impl Descriptors {
    /// With `open` of `limit` taken already.
    fn new(limit: usize, open: usize, workers: usize) -> Self {
        let spare = (limit / 16).clamp(FEWEST_SPARE, MOST_SPARE);
        let taken = open + workers * WORKER + spare;
        Self { limit, spare, connections: (limit.saturating_sub(taken) / EACH).max(1) }
    }

    fn now(workers: usize) -> io::Result<Self> {
        Ok(Self::new(descriptor_limit()?, open_descriptors()?, workers))
    }

    /// Where nothing is known of them, they are no limit.
    const ENDLESS: Self = Self { limit: usize::MAX, spare: 0, connections: usize::MAX };
}

impl Capacity {
    /// As many connections as `server` says, or as there are descriptors for.
    #[must_use]
    pub fn new(server: &Server, interception: Option<&Interception>) -> Arc<Self> {
        let descriptors = Descriptors::now(server.workers.get()).unwrap_or_else(|error| {
            tracing::warn!(%error, "how many descriptors there are is not known");
            Descriptors::ENDLESS
        });
        let capacity = Self {
            crowd: Mutex::new(Crowd::new(1)),
            descriptors,
            lacks_descriptors: AtomicBool::new(false),
            memory: AtomicU64::new(u64::MAX),
            kernel: interception.map(|it| (it.heartbeat().clone(), it.greedy().clone())),
            told: AtomicU32::new(level::ROOM),
            warn: Rarely::new(WARN_EVERY),
        };
        capacity.limit(server);
        Arc::new(capacity)
    }

    /// What `server` says of connections and memory counts from now on.
    pub fn limit(&self, server: &Server) {
        let most = server.max_connections;
        let Descriptors { limit, spare, connections } = self.descriptors;
        if most > connections {
            tracing::warn!(
                max_connections = most,
                descriptors = limit,
                kept_free = spare,
                possible = connections,
                "too few open files are allowed for so many connections, of two each"
            );
        }
        let half = || memory_limit().map_or(u64::MAX, |all| all / 2);
        self.memory.store(server.max_memory.unwrap_or_else(half), Ordering::Relaxed);
        let mut crowd = self.crowd();
        crowd.limit(most.min(connections));
        self.tell(&crowd);
    }

    /// A connection was accepted, as this descriptor.
    #[must_use]
    pub fn enter(self: &Arc<Self>, descriptor: RawFd) -> Seat {
        // It is the lowest number that was free.
        let number = usize::try_from(descriptor).unwrap_or(0);
        if number >= self.descriptors.limit.saturating_sub(self.descriptors.spare / 2) {
            self.run_short();
        }
        let mut crowd = self.crowd();
        crowd.enter();
        self.tell(&crowd);
        Seat(Arc::clone(self))
    }

    /// A connection that is in is of `group`.
    #[must_use]
    pub fn join(self: &Arc<Self>, group: ClientGroup) -> Share {
        let mut crowd = self.crowd();
        if crowd.join(group) {
            self.mark(group, true);
        }
        self.tell(&crowd);
        Share(Arc::clone(self), group)
    }

    /// There are no descriptors left, or few: nobody else is let in until there are.
    pub fn run_short(&self) {
        if !self.lacks_descriptors.swap(true, Ordering::Relaxed) {
            self.tell(&self.crowd());
        }
    }

    /// Looks whether there is memory, and descriptors again if they had run short.
    pub fn look(&self) {
        self.look_for_memory();
        if !self.lacks_descriptors.load(Ordering::Relaxed) {
            return;
        }
        let spare = self.descriptors.spare;
        let are_enough = |limit| open_descriptors().is_ok_and(|open| open + spare <= limit);
        // It may have been changed from outside.
        if descriptor_limit().is_ok_and(are_enough) {
            self.lacks_descriptors.store(false, Ordering::Relaxed);
            self.tell(&self.crowd());
        }
    }

    /// Enough is an eighth less than too much.
    fn look_for_memory(&self) {
        let (Ok(own), most) = (own_memory(), self.memory.load(Ordering::Relaxed)) else { return };
        let was_short = memory_is_short();
        let is_short = own > if was_short { most - most / 8 } else { most };
        if is_short != was_short {
            note_memory(is_short);
            self.tell(&self.crowd());
        }
    }

    fn short_of(&self) -> Option<Shortage> {
        if self.lacks_descriptors.load(Ordering::Relaxed) {
            return Some(Shortage::Descriptors);
        }
        memory_is_short().then_some(Shortage::Memory)
    }

    /// Whether there is no room for another connection.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.told.load(Ordering::Relaxed) == level::FULL
    }

    /// How full it is.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        let crowd = self.crowd();
        let short_of = self.short_of();
        let level = if short_of.is_some() { Level::Full } else { crowd.level() };
        Occupancy { open: crowd.open(), most: crowd.most(), level, short_of }
    }

    /// Tells the kernel side what has changed, if anything has. The lock is held for that: it hears of
    /// changes in the order in which they are made.
    fn tell(&self, crowd: &Crowd) {
        let short_of = self.short_of();
        let now = match crowd.level() {
            _ if short_of.is_some() => level::FULL,
            Level::Full => level::FULL,
            Level::Crowded => level::CROWDED,
            Level::Room => level::ROOM,
        };
        if self.told.swap(now, Ordering::Relaxed) == now {
            return;
        }
        if now == level::FULL && self.warn.now(Instant::now()) {
            let (open, most) = (crowd.open(), crowd.most());
            tracing::warn!(
                open,
                most,
                short_of = short_of.map(Shortage::name),
                "no room for more connections: new ones go direct, or wait at the explicit door"
            );
        }
        if let Some((heartbeat, _)) = &self.kernel
            && let Err(error) = heartbeat.load(now)
        {
            tracing::warn!(%error, "the kernel side does not know how much room there is");
        }
    }

    fn mark(&self, group: ClientGroup, is_greedy: bool) {
        if let Some((_, greedy)) = &self.kernel
            && let Err(error) = greedy.mark(group, is_greedy)
        {
            tracing::warn!(%error, "the kernel side does not know who has more than their share");
        }
    }

    fn crowd(&self) -> MutexGuard<'_, Crowd> {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut crowd = self.0.crowd();
        crowd.leave();
        self.0.tell(&crowd);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Self(capacity, group) = self;
        let mut crowd = capacity.crowd();
        if crowd.part(*group) {
            capacity.mark(*group, false);
        }
        capacity.tell(&crowd);
    }
}

#[cfg(test)]
mod tests {
    use super::{Capacity, Descriptors, Level, Server, Shortage};
    use crate::config::{Config, Overrides};

    fn server(max_connections: usize) -> Server {
        let config = Config::parse("", "c.toml", &Overrides::default()).expect("valid");
        Server { max_connections, ..config.server }
    }

    #[test]
    fn a_connection_has_two_descriptors_and_some_are_kept() {
        let counts = [(1024, 40), (20_000, 80), (1_000_000, 80), (100, 80)]
            .map(|(limit, open)| Descriptors::new(limit, open, 2).connections);
        assert_eq!(counts, [444, 9319, 497_896, 1]);
    }

    #[test]
    fn what_is_open_is_counted_until_it_is_not() {
        let capacity = Capacity::new(&server(4), None);
        let mut seats: Vec<_> = (0..4).map(|_| capacity.enter(3)).collect();
        assert!(capacity.is_full());
        seats.truncate(2);
        let occupancy = capacity.occupancy();
        assert_eq!((occupancy.open, occupancy.level), (2, Level::Crowded));
        drop(seats);
        assert_eq!((capacity.occupancy().open, capacity.is_full()), (0, false));
    }

    #[test]
    fn a_high_descriptor_tells_that_few_are_left_until_they_are_counted() {
        let capacity = Capacity::new(&server(100), None);
        drop(capacity.enter(i32::MAX));
        assert!(capacity.is_full() && capacity.occupancy().short_of == Some(Shortage::Descriptors));
        capacity.look();
        assert!(!capacity.is_full());
    }
}
