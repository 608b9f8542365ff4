//! Which slot stands for which original destination, and when it may stand for another one.
//!
//! Pure bookkeeping: the clock is an argument, and the kernel's maps are written by the caller.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use dispa_common::PROBE_SLOT;

/// How long a slot stays out of use after its destination is no longer intercepted: a connection
/// rewritten just before may still wait in the accept queue.
const QUARANTINE: Duration = Duration::from_secs(30);

/// Slots in use, in quarantine and free.
#[derive(Debug)]
pub struct SlotTable {
    by_destination: HashMap<SocketAddr, u32>,
    entries: HashMap<u32, Entry>,
    quarantined: VecDeque<(Instant, u32)>,
    freed: VecDeque<u32>,
    /// Left to the kernel programs, and not yet seen in use.
    offered: HashSet<u32>,
    /// The lowest slot never given out so far.
    fresh: u32,
}

#[derive(Debug)]
struct Entry {
    destination: SocketAddr,
    usage: Arc<Usage>,
    retired: bool,
    /// When a destination that only the kernel programs know of was first found unused.
    idle_since: Option<Instant>,
    /// Whether the daemon itself wants the destination intercepted.
    wanted: bool,
}

#[derive(Debug, Default)]
struct Usage {
    held: AtomicU32,
    /// Since the last look.
    used: AtomicBool,
}

/// What [`SlotTable::assign`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assigned {
    /// The destination had this slot already.
    Kept(u32),
    /// The destination has this slot from now on.
    New(u32),
    /// Every slot is in use or in quarantine.
    Full,
}

/// Holds a slot for a connection that came in by it: it is given to no other destination meanwhile.
#[derive(Debug)]
pub struct SlotLease {
    destination: SocketAddr,
    usage: Arc<Usage>,
}

impl SlotLease {
    /// The original destination.
    #[must_use]
    pub fn destination(&self) -> SocketAddr {
        self.destination
    }
}

impl Drop for SlotLease {
    fn drop(&mut self) {
        self.usage.held.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for SlotTable {
    fn default() -> Self {
        Self {
            by_destination: HashMap::new(),
            entries: HashMap::new(),
            quarantined: VecDeque::new(),
            freed: VecDeque::new(),
            offered: HashSet::new(),
            fresh: 1,
        }
    }
}

impl SlotTable {
    /// Gives `destination` a slot, the one it has or had if that is still its own.
    pub fn assign(&mut self, destination: SocketAddr) -> Assigned {
        if let Some(&slot) = self.by_destination.get(&destination) {
            return self.revive(slot);
        }
        let Some(slot) = self.take_free() else { return Assigned::Full };
        self.enter(slot, destination, true);
        Assigned::New(slot)
    }

    /// The kernel programs gave `slot`, which was offered to them, to `destination`. Whether that
    /// was news; a slot that was not offered is none of theirs.
    pub fn adopt(&mut self, slot: u32, destination: SocketAddr) -> bool {
        let news = self.offered.remove(&slot);
        if news {
            self.enter(slot, destination, false);
        }
        news
    }

    /// `destination` turned out to have `given` from the kernel programs when it was assigned `ours`
    /// here. `ours` rests before it stands for anything else: something may be on its way to it.
    pub fn yield_to_kernel(
        &mut self,
        destination: SocketAddr,
        ours: u32,
        given: u32,
        now: Instant,
    ) {
        if self.entries.get(&ours).is_some_and(|entry| entry.destination == destination) {
            self.retire_slot(ours, now);
        }
        self.offered.remove(&given);
        self.quarantined.retain(|(_, slot)| *slot != given);
        match self.entries.get_mut(&given) {
            Some(entry) => {
                entry.wanted = true;
                entry.retired = false;
                self.by_destination.insert(destination, given);
            }
            None => self.enter(given, destination, true),
        }
    }

    /// Takes free slots until `count` are on offer to the kernel programs; those newly offered.
    pub fn offer(&mut self, count: usize) -> Vec<u32> {
        let mut fresh = Vec::new();
        while self.offered.len() < count {
            let Some(slot) = self.take_free() else { break };
            self.offered.insert(slot);
            fresh.push(slot);
        }
        fresh
    }

    /// Slots on offer to the kernel programs.
    #[must_use]
    pub fn offered(&self) -> usize {
        self.offered.len()
    }

    /// Destinations that only the kernel programs asked for and that have not been used for
    /// `limit`. To be called now and then: use is noticed from one call to the next.
    pub fn idle(&mut self, now: Instant, limit: Duration) -> Vec<SocketAddr> {
        let mut idle = Vec::new();
        for entry in self.entries.values_mut().filter(|entry| !entry.wanted && !entry.retired) {
            let used = entry.usage.used.swap(false, Ordering::Relaxed);
            if used || entry.usage.held.load(Ordering::Relaxed) > 0 {
                entry.idle_since = None;
            }
            let since = *entry.idle_since.get_or_insert(now);
            if now.saturating_duration_since(since) >= limit {
                idle.push(entry.destination);
            }
        }
        idle
    }

    /// Whether a connection holds the slot of `destination`.
    #[must_use]
    pub fn is_held(&self, destination: SocketAddr) -> bool {
        self.by_destination
            .get(&destination)
            .and_then(|slot| self.entries.get(slot))
            .is_some_and(|entry| entry.usage.held.load(Ordering::Relaxed) > 0)
    }

    /// Destinations that the daemon itself wants intercepted, with their slots; in an order that lasts while
    /// nothing changes.
    pub fn wanted(&self) -> impl Iterator<Item = (SocketAddr, u32)> {
        let wanted = |slot: &u32| self.entries.get(slot).is_some_and(|it| it.wanted && !it.retired);
        let known = self.by_destination.iter().map(|(destination, slot)| (*destination, *slot));
        known.filter(move |(_, slot)| wanted(slot))
    }

    /// The slot of `destination`, if it has one.
    #[must_use]
    pub fn slot_of(&self, destination: SocketAddr) -> Option<u32> {
        self.by_destination.get(&destination).copied()
    }

    /// What `slot` stands for is no longer intercepted; it goes into quarantine.
    pub fn retire_slot(&mut self, slot: u32, now: Instant) {
        let Some(entry) = self.entries.get_mut(&slot) else { return };
        if !entry.retired {
            entry.retired = true;
            self.quarantined.push_back((now, slot));
        }
    }

    /// Slots that have been in quarantine long enough and are held by no connection. They stand for
    /// what they did until each is [freed](Self::free).
    pub fn due(&mut self, now: Instant) -> Vec<u32> {
        let entries = &self.entries;
        let is_retired = |slot: &u32| entries.get(slot).is_some_and(|entry| entry.retired);
        self.quarantined.retain(|(_, slot)| is_retired(slot));
        self.quarantined
            .iter()
            .filter(|(since, slot)| {
                now.saturating_duration_since(*since) >= QUARANTINE
                    && entries
                        .get(slot)
                        .is_some_and(|it| it.usage.held.load(Ordering::Relaxed) == 0)
            })
            .map(|(_, slot)| *slot)
            .collect()
    }

    /// `slot`, which was [due](Self::due), may stand for something else; not if it is in use again.
    pub fn free(&mut self, slot: u32) {
        let is_idle =
            |entry: &Entry| entry.retired && entry.usage.held.load(Ordering::Relaxed) == 0;
        if !self.entries.get(&slot).is_some_and(is_idle) {
            return;
        }
        let Some(entry) = self.entries.remove(&slot) else { return };
        if self.by_destination.get(&entry.destination) == Some(&slot) {
            self.by_destination.remove(&entry.destination);
        }
        self.freed.push_back(slot);
    }

    /// Holds `slot` for a connection; `None` for a slot that stands for nothing.
    #[must_use]
    pub fn lease(&self, slot: u32) -> Option<SlotLease> {
        let entry = self.entries.get(&slot)?;
        entry.usage.held.fetch_add(1, Ordering::Relaxed);
        entry.usage.used.store(true, Ordering::Relaxed);
        Some(SlotLease { destination: entry.destination, usage: Arc::clone(&entry.usage) })
    }

    /// Slots that stand for a destination, quarantined ones included.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.entries.len()
    }

    /// Slots that can be given out, those on offer to the kernel programs among them.
    #[must_use]
    pub fn free_count(&self) -> usize {
        let fresh = PROBE_SLOT.saturating_sub(self.fresh);
        self.freed.len() + self.offered.len() + usize::try_from(fresh).unwrap_or(usize::MAX)
    }

    /// Leases that connections hold at this moment.
    #[must_use]
    pub fn held(&self) -> u64 {
        let held = |entry: &Entry| u64::from(entry.usage.held.load(Ordering::Relaxed));
        self.entries.values().map(held).sum()
    }

    fn enter(&mut self, slot: u32, destination: SocketAddr, wanted: bool) {
        let entry =
            Entry { destination, usage: Arc::default(), retired: false, idle_since: None, wanted };
        self.by_destination.insert(destination, slot);
        self.entries.insert(slot, entry);
    }

    fn revive(&mut self, slot: u32) -> Assigned {
        match self.entries.get_mut(&slot) {
            Some(entry) if entry.retired => {
                entry.retired = false;
                entry.wanted = true;
                self.quarantined.retain(|(_, quarantined)| *quarantined != slot);
                Assigned::New(slot)
            }
            Some(entry) => {
                entry.wanted = true;
                Assigned::Kept(slot)
            }
            None => Assigned::Kept(slot),
        }
    }

    /// Slots never used come first, then the one that has been free for longest.
    fn take_free(&mut self) -> Option<u32> {
        if self.fresh < PROBE_SLOT {
            self.fresh += 1;
            return Some(self.fresh - 1);
        }
        self.freed.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::{Assigned, QUARANTINE, SlotTable};
    use dispa_common::PROBE_SLOT;
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use std::{
        collections::HashMap,
        net::{Ipv4Addr, SocketAddr},
        time::{Duration, Instant},
    };

    fn destination(n: u32) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::from_bits(0x0a00_0000 | n), 80))
    }

    fn retire(table: &mut SlotTable, destination: SocketAddr, now: Instant) {
        if let Some(slot) = table.slot_of(destination) {
            table.retire_slot(slot, now);
        }
    }

    fn sweep(table: &mut SlotTable, now: Instant) -> Vec<u32> {
        let due = table.due(now);
        for slot in &due {
            table.free(*slot);
        }
        due
    }

    #[test]
    fn a_slot_that_yields_to_the_kernels_rests_before_it_is_used_again() {
        let mut table = SlotTable::default();
        let start = Instant::now();
        let given = table.offer(1)[0];
        let Assigned::New(ours) = table.assign(destination(1)) else { panic!("a new one") };
        // The worker that something arrived at is first.
        assert!(table.adopt(given, destination(1)));
        let lease = table.lease(given).expect("in use");
        table.yield_to_kernel(destination(1), ours, given, start);
        assert_eq!(table.slot_of(destination(1)), Some(given));
        assert_eq!(table.held(), 1, "the lease still counts");
        assert_eq!(sweep(&mut table, start + QUARANTINE), [ours]);
        drop(lease);
        assert!(sweep(&mut table, start + 2 * QUARANTINE).is_empty());
        assert_eq!(table.assign(destination(1)), Assigned::Kept(given));
    }

    #[test]
    fn a_destination_keeps_its_slot() {
        let mut table = SlotTable::default();
        assert_eq!(table.assign(destination(1)), Assigned::New(1));
        assert_eq!(table.assign(destination(1)), Assigned::Kept(1));
        assert_eq!(table.lease(1).expect("in use").destination(), destination(1));
    }

    #[test]
    fn slot_0_and_unassigned_slots_stand_for_nothing() {
        let mut table = SlotTable::default();
        table.assign(destination(1));
        assert!(table.lease(0).is_none());
        assert!(table.lease(2).is_none());
    }

    #[test]
    fn a_retired_slot_is_freed_only_after_the_quarantine() {
        let mut table = SlotTable::default();
        let start = Instant::now();
        table.assign(destination(1));
        retire(&mut table, destination(1), start);
        assert!(
            sweep(&mut table, start + QUARANTINE.saturating_sub(Duration::from_millis(1)))
                .is_empty()
        );
        assert_eq!(sweep(&mut table, start + QUARANTINE), [1]);
        assert!(table.lease(1).is_none());
        assert_eq!(table.in_use(), 0);
    }

    #[test]
    fn a_slot_held_by_a_connection_is_not_freed() {
        let mut table = SlotTable::default();
        let start = Instant::now();
        table.assign(destination(1));
        let lease = table.lease(1).expect("in use");
        retire(&mut table, destination(1), start);
        assert!(sweep(&mut table, start + QUARANTINE).is_empty());
        assert_eq!(table.held(), 1);
        drop(lease);
        assert_eq!(sweep(&mut table, start + QUARANTINE), [1]);
    }

    #[test]
    fn a_destination_learned_again_in_quarantine_gets_its_slot_back() {
        let mut table = SlotTable::default();
        let start = Instant::now();
        table.assign(destination(1));
        retire(&mut table, destination(1), start);
        assert_eq!(table.assign(destination(1)), Assigned::New(1));
        assert!(sweep(&mut table, start + QUARANTINE).is_empty());
        retire(&mut table, destination(1), start + QUARANTINE);
        assert!(sweep(&mut table, start + QUARANTINE).is_empty());
        assert_eq!(sweep(&mut table, start + 2 * QUARANTINE), [1]);
    }

    #[test]
    fn a_full_table_says_so_and_recovers() {
        let mut table = SlotTable::default();
        for n in 1..PROBE_SLOT {
            assert_eq!(table.assign(destination(n)), Assigned::New(n));
        }
        assert_eq!(table.assign(destination(PROBE_SLOT)), Assigned::Full);
        let start = Instant::now();
        retire(&mut table, destination(7), start);
        assert_eq!(sweep(&mut table, start + QUARANTINE), [7]);
        assert_eq!(table.assign(destination(PROBE_SLOT)), Assigned::New(7));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Assign(u32),
        Retire(u32),
        Lease(u32),
        Release,
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..8_u32).prop_map(Step::Assign),
            (0..8_u32).prop_map(Step::Retire),
            (0..16_u32).prop_map(Step::Lease),
            any::<()>().prop_map(|()| Step::Release),
            (1..40_u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// Whatever happens, a slot stands for one destination while anyone may still use it.
        #[test]
        fn a_slot_never_changes_its_meaning_while_it_is_held(
            steps in proptest::collection::vec(step(), 1..200)
        ) {
            let mut table = SlotTable::default();
            let mut now = Instant::now();
            let mut leases = Vec::new();
            for step in steps {
                match step {
                    Step::Assign(n) => { table.assign(destination(n)); }
                    Step::Retire(n) => retire(&mut table, destination(n), now),
                    Step::Lease(slot) => leases.extend(table.lease(slot).map(|l| (slot, l))),
                    Step::Release => { leases.pop(); }
                    Step::Wait(seconds) => {
                        now += Duration::from_secs(seconds);
                        sweep(&mut table, now);
                    }
                }
                let mut seen = HashMap::new();
                for (slot, lease) in &leases {
                    let destination = *seen.entry(*slot).or_insert(lease.destination());
                    prop_assert_eq!(destination, lease.destination());
                    prop_assert!(table.lease(*slot).is_some_and(|l| l.destination() == destination));
                }
                prop_assert_eq!(table.held(), leases.len() as u64);
            }
        }
    }
}
