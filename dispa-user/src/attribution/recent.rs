//! A table of what was asked for of late.

use std::{collections::HashMap, mem};

use foldhash::fast::RandomState;

/// Entries of one generation. Both together are the most that is remembered.
const GENERATION: usize = 2048;

/// Remembers up to two generations of entries: when the younger one is full, what nobody has asked for
/// since the last time is forgotten.
#[derive(Debug)]
pub(super) struct Recent<V> {
    young: HashMap<u64, V, RandomState>,
    old: HashMap<u64, V, RandomState>,
}

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self { young: HashMap::default(), old: HashMap::default() }
    }
}

impl<V: Clone> Recent<V> {
    pub(super) fn of(&mut self, key: u64) -> Option<V> {
        if let Some(value) = self.young.get(&key) {
            return Some(value.clone());
        }
        let value = self.old.remove(&key)?;
        self.put(key, value.clone());
        Some(value)
    }

    pub(super) fn put(&mut self, key: u64, value: V) {
        if self.young.len() >= GENERATION && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::{GENERATION, Recent};

    #[test]
    fn what_is_asked_for_stays_and_the_rest_makes_room() {
        let mut recent = Recent::default();
        for key in 0..10 * GENERATION as u64 {
            recent.put(key, key + 1);
            assert_eq!(recent.of(0), Some(1));
            assert_eq!(recent.of(key), Some(key + 1));
        }
        assert_eq!(recent.of(1), None);
        assert!(recent.young.len() + recent.old.len() <= 2 * GENERATION);
    }
}
