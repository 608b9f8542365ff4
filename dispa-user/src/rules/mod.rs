//! Which domains are intercepted: patterns, and the set of them that answers for one host.
//!
//! Floor 1: pure. Nothing here awaits, allocates on a lookup, or knows where a host was read.

mod pattern;
mod pattern_set;

use crate::types::HostName;

pub use pattern::{Pattern, PatternError};
use pattern_set::PatternSet;

/// The intercepted domains less the excluded ones.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    intercept: PatternSet,
    exclude: PatternSet,
}

impl Rules {
    /// Builds the rules. A pattern given twice counts once.
    #[must_use]
    pub fn new(
        intercept: impl IntoIterator<Item = Pattern>,
        exclude: impl IntoIterator<Item = Pattern>,
    ) -> Self {
        Self { intercept: intercept.into_iter().collect(), exclude: exclude.into_iter().collect() }
    }

    /// The most specific pattern that intercepts `host`; none if any pattern excludes it.
    #[must_use]
    pub fn find(&self, host: &HostName) -> Option<&Pattern> {
        let pattern = self.intercept.find(host)?;
        (self.exclude.is_empty() || self.exclude.find(host).is_none()).then_some(pattern)
    }

    /// Whether nothing can ever be intercepted because no pattern says so.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.intercept.is_empty()
    }

    /// The exact names that are intercepted and not excluded, in no order. Unlike wildcards,
    /// these can be resolved before any program asks for them.
    pub fn exact_names(&self) -> impl Iterator<Item = &HostName> {
        self.intercept.exact_names().filter(|name| self.exclude.find(name).is_none())
    }
}

#[cfg(test)]
mod tests;
