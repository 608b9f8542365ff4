//! How often each rule was the one.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use foldhash::fast::RandomState;
use prometheus::{IntCounter, IntCounterVec};

use super::{MOST_NAMES, OVERFLOW};
use crate::rules::Pattern;

/// The rules that have a count of their own: the first so many that traffic meets.
#[derive(Debug, Default)]
pub(super) struct NamedRules(Mutex<HashSet<Pattern>>);

impl NamedRules {
    fn admits(&self, rule: &Pattern) -> bool {
        let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        named.contains(rule) || (named.len() < MOST_NAMES && named.insert(rule.clone()))
    }
}

/// How often each rule was the one, as one worker counts.
#[derive(Debug)]
pub(super) struct RuleCounts {
    pub(super) all: IntCounterVec,
    named: Arc<NamedRules>,
    /// All that were met: no more than configurations have. Written to when one is met for the first time.
    known: RwLock<HashMap<Pattern, IntCounter, RandomState>>,
}

impl RuleCounts {
    pub(super) fn new(all: IntCounterVec, named: &Arc<NamedRules>) -> Self {
        Self { all, named: Arc::clone(named), known: RwLock::default() }
    }

    pub(super) fn inc(&self, rule: &Pattern) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = known.get(rule) {
            return count.inc();
        }
        drop(known);
        let count = if self.named.admits(rule) {
            self.all.with_label_values(&[&rule.to_string()])
        } else {
            self.all.with_label_values(&[OVERFLOW])
        };
        count.inc();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(rule.clone(), count);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prometheus::{IntCounterVec, Opts, core::Collector as _};

    use super::{MOST_NAMES, NamedRules, OVERFLOW, RuleCounts};
    use crate::rules::Pattern;

    #[test]
    fn the_last_of_very_many_rules_share_a_count_whoever_meets_them() {
        let named = Arc::new(NamedRules::default());
        let counts: [RuleCounts; 2] = std::array::from_fn(|_| {
            let all = IntCounterVec::new(Opts::new("a", "a"), &["rule"]).expect("valid");
            RuleCounts::new(all, &named)
        });
        let rule = |number| Pattern::parse(&format!("*.n{number}.test")).expect("valid");
        for number in 0..MOST_NAMES + 7 {
            counts[0].inc(&rule(number));
        }
        for number in (0..MOST_NAMES + 7).rev() {
            counts[1].inc(&rule(number));
            counts[1].inc(&rule(number));
        }
        for (counts, others) in counts.iter().zip([7, 14]) {
            let families = counts.all.collect();
            let [family] = families.as_slice() else { panic!("{families:?}") };
            assert_eq!(family.get_metric().len(), MOST_NAMES + 1);
            assert_eq!(counts.all.with_label_values(&[OVERFLOW]).get(), others);
        }
    }
}
