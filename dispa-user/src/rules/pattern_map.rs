//! Patterns arranged for lookup.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::Pattern;
use crate::types::HostName;

/// What patterns stand for. Finds that of the most specific match with one hash lookup, and one more for each
/// suffix that is as long as that of some wildcard.
///
/// The hash is a fast one: what the network sends is looked up and never put in, so that nobody can
/// fill a bucket.
#[derive(Debug, Clone)]
pub(super) struct PatternMap<T> {
    exact: HashMap<HostName, T, RandomState>,
    /// By suffix.
    wildcards: HashMap<HostName, T, RandomState>,
    lengths: Lengths,
}

/// The lengths of some names, in bytes: a bit for each that a name can have.
#[derive(Debug, Clone, Copy, Default)]
struct Lengths([u64; 4]);

impl Lengths {
    fn insert(&mut self, length: usize) {
        if let Some(word) = self.0.get_mut(length / 64) {
            *word |= 1 << (length % 64);
        }
    }

    fn contain(self, length: usize) -> bool {
        self.0.get(length / 64).is_some_and(|word| word >> (length % 64) & 1 == 1)
    }
}

impl<T> Default for PatternMap<T> {
    fn default() -> Self {
        let (exact, wildcards) = (HashMap::default(), HashMap::default());
        Self { exact, wildcards, lengths: Lengths::default() }
    }
}

impl<T> PatternMap<T> {
    pub(super) fn find(&self, host: &HostName) -> Option<&T> {
        self.exact.get(host).or_else(|| {
            suffixes(host.as_str(), self.lengths).find_map(|suffix| self.wildcards.get(suffix))
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcards.is_empty()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.exact.values().chain(self.wildcards.values())
    }

    pub(super) fn exact_names(&self) -> impl Iterator<Item = &HostName> {
        self.exact.keys()
    }
}

impl<T> FromIterator<(Pattern, T)> for PatternMap<T> {
    fn from_iter<I: IntoIterator<Item = (Pattern, T)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (pattern, meaning) in entries {
            match pattern {
                Pattern::Exact(name) => map.exact.insert(name, meaning),
                Pattern::Wildcard(suffix) => {
                    map.lengths.insert(suffix.as_str().len());
                    map.wildcards.insert(suffix, meaning)
                }
            };
        }
        map
    }
}

/// What follows each dot, the longest first, if it has one of these lengths: `x.a.b` gives `a.b`,
/// then `b`.
fn suffixes(host: &str, lengths: Lengths) -> impl Iterator<Item = &str> {
    memchr::memchr_iter(b'.', host.as_bytes())
        .filter(move |dot| lengths.contain(host.len() - dot - 1))
        .filter_map(|dot| host.get(dot + 1..))
}
