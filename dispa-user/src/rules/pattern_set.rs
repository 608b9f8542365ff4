//! Patterns arranged for lookup.

use std::collections::HashMap;

use super::Pattern;
use crate::types::HostName;

/// A set of patterns that finds the most specific match with one hash lookup a label.
///
/// The maps keep the standard library's keyed hash: host names come from the network.
#[derive(Debug, Clone, Default)]
pub(super) struct PatternSet {
    exact: HashMap<HostName, Pattern>,
    /// By suffix.
    wildcards: HashMap<HostName, Pattern>,
}

impl PatternSet {
    pub(super) fn find(&self, host: &HostName) -> Option<&Pattern> {
        self.exact
            .get(host)
            .or_else(|| suffixes(host.as_str()).find_map(|suffix| self.wildcards.get(suffix)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcards.is_empty()
    }

    pub(super) fn exact_names(&self) -> impl Iterator<Item = &HostName> {
        self.exact.keys()
    }
}

impl FromIterator<Pattern> for PatternSet {
    fn from_iter<I: IntoIterator<Item = Pattern>>(patterns: I) -> Self {
        let mut set = Self::default();
        for pattern in patterns {
            let map = match pattern {
                Pattern::Exact(_) => &mut set.exact,
                Pattern::Wildcard(_) => &mut set.wildcards,
            };
            map.insert(pattern.host().clone(), pattern);
        }
        set
    }
}

/// What follows each dot, the longest first: `x.a.b` gives `a.b`, then `b`.
fn suffixes(host: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(host), |rest| rest.split_once('.').map(|(_, suffix)| suffix)).skip(1)
}
