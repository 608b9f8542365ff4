//! What is intercepted, and by which addresses.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};

use crate::{
    rules::Pattern,
    state::{Interception, State},
};

/// Domains that are told of, and addresses of one of them.
const MOST_DOMAINS: usize = 1_000;
const MOST_ADDRESSES: usize = 100;

/// One entry of the domains that are intercepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainStatus {
    /// `example.com` or `*.example.com`.
    pub pattern: String,
    /// Who answers.
    pub pool: String,
    /// How many names of it own addresses.
    pub names: usize,
    /// The first hundred of these, in order.
    pub addresses: Vec<IpAddr>,
}

impl DomainStatus {
    /// The first of them, in order, and how many there are besides.
    pub(super) fn all(state: &State) -> (Vec<Self>, usize) {
        let mut owned: BTreeMap<&Pattern, (usize, BTreeSet<IpAddr>)> = BTreeMap::new();
        let learned = state.interception.as_deref().map(Interception::learned).unwrap_or_default();
        for (name, addresses) in learned {
            if let Some(rule) = state.rules.find(&name) {
                let (names, all) = owned.entry(&rule.pattern).or_default();
                *names += 1;
                all.extend(addresses);
            }
        }
        let mut rules: Vec<_> = state.rules.iter().collect();
        rules.sort_unstable_by_key(|rule| &rule.pattern);
        let more = rules.len().saturating_sub(MOST_DOMAINS);
        let domain = |rule: &&crate::rules::Rule| {
            let (names, addresses) = owned.get(&rule.pattern).cloned().unwrap_or_default();
            let pool = state.pool(rule).map_or("", |pool| pool.name());
            Self {
                pattern: rule.pattern.to_string(),
                pool: pool.to_owned(),
                names,
                addresses: addresses.into_iter().take(MOST_ADDRESSES).collect(),
            }
        };
        (rules.iter().take(MOST_DOMAINS).map(domain).collect(), more)
    }
}
