//! Which domains are intercepted: patterns, and the set of them that answers for one host.
//!
//! Floor 1: pure. Nothing here awaits, allocates on a lookup, or knows where a host was read.

mod pattern;
mod pattern_map;

use crate::types::HostName;

pub use pattern::{Pattern, PatternError};
use pattern_map::PatternMap;

/// An intercepted domain, and who answers for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Which hosts it is for.
    pub pattern: Pattern,
    /// The index of its pool.
    pub pool: usize,
}

/// The intercepted domains less the excluded ones.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    intercept: PatternMap<Rule>,
    exclude: PatternMap<Pattern>,
}

impl Rules {
    /// Builds the rules. Of two for the same pattern the later one counts.
    #[must_use]
    pub fn new(
        intercept: impl IntoIterator<Item = Rule>,
        exclude: impl IntoIterator<Item = Pattern>,
    ) -> Self {
        let intercept = intercept.into_iter().map(|rule| (rule.pattern.clone(), rule));
        let exclude = exclude.into_iter().map(|pattern| (pattern.clone(), pattern));
        Self { intercept: intercept.collect(), exclude: exclude.collect() }
    }

    /// The rule of the most specific pattern that intercepts `host`; none if any pattern excludes it.
    #[must_use]
    pub fn find(&self, host: &HostName) -> Option<&Rule> {
        let rule = self.intercept.find(host)?;
        self.exclusion(host).is_none().then_some(rule)
    }

    /// The most specific pattern that excludes `host`, whether or not another one intercepts it.
    #[must_use]
    pub fn exclusion(&self, host: &HostName) -> Option<&Pattern> {
        if self.exclude.is_empty() { None } else { self.exclude.find(host) }
    }

    /// Whether nothing can ever be intercepted because no pattern says so.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.intercept.is_empty()
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.intercept.values()
    }

    /// The exact names that are intercepted and not excluded, in no order. Unlike wildcards,
    /// these can be resolved before any program asks for them.
    pub fn exact_names(&self) -> impl Iterator<Item = &HostName> {
        self.intercept.exact_names().filter(|name| self.exclusion(name).is_none())
    }
}

#[cfg(test)]
mod tests;
