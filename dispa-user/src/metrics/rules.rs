//! How often each rule was the one.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use foldhash::fast::RandomState;
use prometheus::{IntCounter, IntCounterVec};

use super::{MOST_NAMES, OVERFLOW};
use crate::rules::Pattern;

/// How often each rule was the one. The first so many that traffic meets have a count of their own.
#[derive(Debug)]
pub(super) struct RuleCounts {
    pub(super) all: IntCounterVec,
    /// Written to when a rule is met for the first time.
    known: RwLock<HashMap<Pattern, IntCounter, RandomState>>,
    others: IntCounter,
}

impl RuleCounts {
    pub(super) fn new(all: IntCounterVec) -> Self {
        let others = all.with_label_values(&[OVERFLOW]);
        Self { all, known: RwLock::default(), others }
    }

    pub(super) fn inc(&self, rule: &Pattern) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let count = match known.get(rule) {
            Some(count) => count,
            None if known.len() >= MOST_NAMES => &self.others,
            None => {
                drop(known);
                return self.meet(rule);
            }
        };
        count.inc();
    }

    fn meet(&self, rule: &Pattern) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_NAMES && !known.contains_key(rule) {
            return self.others.inc();
        }
        let new = || self.all.with_label_values(&[&rule.to_string()]);
        known.entry(rule.clone()).or_insert_with(new).inc();
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{IntCounterVec, Opts, core::Collector as _};

    use super::{MOST_NAMES, RuleCounts};
    use crate::rules::Pattern;

    #[test]
    fn the_last_of_very_many_rules_share_a_count() {
        let all = IntCounterVec::new(Opts::new("a", "a"), &["rule"]).expect("valid");
        let counts = RuleCounts::new(all);
        for round in 0..2 {
            for number in 0..MOST_NAMES + 7 {
                counts.inc(&Pattern::parse(&format!("*.n{number}.test")).expect("valid"));
            }
            let families = counts.all.collect();
            let [family] = families.as_slice() else { panic!("{families:?}") };
            assert_eq!(family.get_metric().len(), MOST_NAMES + 1);
            assert_eq!(counts.others.get(), 7 * (round + 1));
        }
    }
}
