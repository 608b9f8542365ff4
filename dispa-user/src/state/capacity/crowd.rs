//! The arithmetic of room: how many are in, whose they are, and when that is too many.
//!
//! What is said is taken back only when there is clearly more room again, so that nothing flaps.

use std::collections::HashMap;

use dispa_common::ClientGroup;

/// How much room there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Enough for everybody.
    #[default]
    Room,
    /// Three quarters of it are taken: those who have half of it or more get no more.
    Crowded,
    /// None.
    Full,
}

/// Where levels begin, and where they end, in sixteenths of the most there may be.
const CROWDED: usize = 12;
const UNCROWDED: usize = 10;
const FULL: usize = 16;
const NOT_FULL: usize = 14;

/// What makes a group greedy, and where it is not any more.
const GREEDY: usize = 8;
const MODEST: usize = 7;

/// The connections that are open.
#[derive(Debug)]
pub(super) struct Crowd {
    most: usize,
    open: usize,
    /// Of those, what groups have beyond [`CROWDED`]. They were on their way when they should have been
    /// passed, and are not to keep the others out.
    excess: usize,
    level: Level,
    groups: HashMap<ClientGroup, Group>,
}

/// The connections of one group.
#[derive(Debug, Default)]
struct Group {
    open: usize,
    is_greedy: bool,
}

impl Crowd {
    pub(super) fn new(most: usize) -> Self {
        Self { most, open: 0, excess: 0, level: Level::Room, groups: HashMap::new() }
    }

    pub(super) const fn most(&self) -> usize {
        self.most
    }

    pub(super) const fn open(&self) -> usize {
        self.open
    }

    pub(super) const fn level(&self) -> Level {
        self.level
    }

    /// There may be so many from now on.
    pub(super) fn limit(&mut self, most: usize) {
        self.most = most;
        let excess = |group: &Group| group.open.saturating_sub(part(most, CROWDED));
        self.excess = self.groups.values().map(excess).sum();
        self.settle();
    }

    pub(super) fn enter(&mut self) {
        self.open += 1;
        self.settle();
    }

    pub(super) fn leave(&mut self) {
        self.open = self.open.saturating_sub(1);
        self.settle();
    }

    /// One of those that are in is of `group`; whether that makes it greedy.
    pub(super) fn join(&mut self, group: ClientGroup) -> bool {
        let most = self.most;
        let entry = self.groups.entry(group).or_default();
        entry.open += 1;
        let becomes = !entry.is_greedy && entry.open >= part(most, GREEDY);
        entry.is_greedy |= becomes;
        if entry.open > part(most, CROWDED) {
            self.excess += 1;
            self.settle();
        }
        becomes
    }

    /// One of `group` is not in any more; whether it is no longer greedy for that.
    pub(super) fn part(&mut self, group: ClientGroup) -> bool {
        let (crowded, modest) = (part(self.most, CROWDED), part(self.most, MODEST));
        let Some(entry) = self.groups.get_mut(&group) else { return false };
        let was_excess = entry.open > crowded;
        entry.open = entry.open.saturating_sub(1);
        let (is_last, ceases) = (entry.open == 0, entry.is_greedy && entry.open < modest);
        entry.is_greedy &= !ceases;
        if is_last {
            self.groups.remove(&group);
        }
        if was_excess {
            self.excess = self.excess.saturating_sub(1);
            self.settle();
        }
        ceases
    }

    /// Up at once; down a step below where it went up.
    fn settle(&mut self) {
        let reached = |crowded, full| match self.open.saturating_sub(self.excess) {
            open if open >= part(self.most, full) => Level::Full,
            open if open >= part(self.most, crowded) => Level::Crowded,
            _ => Level::Room,
        };
        let (least, most) = (reached(CROWDED, FULL), reached(UNCROWDED, NOT_FULL));
        self.level = self.level.clamp(least, most);
    }
}

/// So many sixteenths, at least one.
const fn part(most: usize, sixteenths: usize) -> usize {
    let part = most.saturating_mul(sixteenths) / 16;
    if part == 0 { 1 } else { part }
}

#[cfg(test)]
mod tests {
    use super::{ClientGroup, Crowd, Level};

    fn of(user: u32) -> ClientGroup {
        ClientGroup { cgroup: 1, user, padding: 0 }
    }

    /// The level after each change of the number to one of these.
    fn levels(crowd: &mut Crowd, counts: &[usize]) -> Vec<Level> {
        let mut reach = |count| {
            while crowd.open() < count {
                crowd.enter();
            }
            while crowd.open() > count {
                crowd.leave();
            }
            crowd.level()
        };
        counts.iter().map(|count| reach(*count)).collect()
    }

    #[test]
    fn it_fills_up_at_once_and_has_room_again_when_it_clearly_does() {
        let mut crowd = Crowd::new(160);
        let up = levels(&mut crowd, &[119, 120, 159, 160, 200]);
        assert_eq!(up, [Level::Room, Level::Crowded, Level::Crowded, Level::Full, Level::Full]);
        let down = levels(&mut crowd, &[159, 140, 139, 100, 99, 119]);
        let crowded = Level::Crowded;
        assert_eq!(down, [Level::Full, Level::Full, crowded, crowded, Level::Room, Level::Room]);
    }

    #[test]
    fn nobody_fills_it_alone() {
        let mut crowd = Crowd::new(160);
        for _ in 0..1000 {
            crowd.enter();
            crowd.join(of(1));
        }
        assert_eq!(crowd.level(), Level::Crowded);
        for _ in 0..40 {
            crowd.enter();
            crowd.join(of(2));
        }
        assert_eq!(crowd.level(), Level::Full);
        for _ in 0..1000 {
            crowd.part(of(1));
            crowd.leave();
        }
        assert_eq!((crowd.level(), crowd.excess, crowd.open()), (Level::Room, 0, 40));
    }

    #[test]
    fn another_limit_counts_at_once() {
        let mut crowd = Crowd::new(160);
        levels(&mut crowd, &[50]);
        crowd.limit(50);
        assert_eq!(crowd.level(), Level::Full);
        crowd.limit(1000);
        assert_eq!(crowd.level(), Level::Room);
    }

    #[test]
    fn a_limit_of_one_is_one() {
        assert_eq!(levels(&mut Crowd::new(1), &[0, 1, 0]), [Level::Room, Level::Full, Level::Room]);
    }

    #[test]
    fn who_has_half_of_all_is_greedy_until_it_has_clearly_less() {
        let mut crowd = Crowd::new(160);
        let joins: Vec<_> = (1..=90).filter(|_| crowd.join(of(1))).collect();
        assert_eq!(joins, [80]);
        assert!((0..79).all(|_| !crowd.join(of(2))), "others have their own share");
        let left: Vec<_> = (0..90).rev().filter(|_| crowd.part(of(1))).collect();
        assert_eq!(left, [69]);
        assert_eq!(crowd.groups.len(), 1, "nobody is remembered who has none");
    }
}
