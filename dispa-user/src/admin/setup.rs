//! What the configuration says, as far as it explains anything.

use std::net::{IpAddr, SocketAddr};

use super::explanation::{Backend, Pool};
use crate::{
    config::{self, CgroupChoice, Config, Intercept, Scheme, Target, TargetAuthority},
    rules::{Rule, Rules},
};

/// What the configuration says, as far as it explains anything.
#[derive(Clone, Debug)]
pub struct Setup {
    pub(super) rules: Rules,
    pub(super) intercept: Intercept,
    pub(super) explicit_door: SocketAddr,
    backends: Vec<Target>,
    pools: Vec<config::Pool>,
}

/// Who can answer those who speak one scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answerers {
    /// Their names.
    Some(Vec<String>),
    /// Only backends of weight 0.
    Unpickable,
    /// No backend speaks it.
    None,
}

impl Setup {
    /// Takes what it needs out of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            rules: config.rules.clone(),
            intercept: config.intercept.clone(),
            explicit_door: config.server.bind_address,
            backends: config.backends.clone(),
            pools: config.pools.clone(),
        }
    }

    /// Who answers where `rule` applies; `None`: where any does.
    pub(super) fn answerers(&self, rule: Option<&Rule>, scheme: Scheme) -> Answerers {
        let answers = |index: usize| {
            rule.and_then(|rule| self.pools.get(rule.pool))
                .is_none_or(|pool| pool.members.contains(&index))
        };
        let all = || self.backends.iter().enumerate();
        let speak =
            || all().filter(|(index, it)| it.scheme == scheme && answers(*index)).map(|(_, it)| it);
        let names: Vec<String> = speak()
            .filter(|target| target.weight > 0)
            .map(|target| target.name.to_string())
            .collect();
        match speak().next() {
            None => Answerers::None,
            Some(_) if names.is_empty() => Answerers::Unpickable,
            Some(_) => Answerers::Some(names),
        }
    }

    /// Whether a backend is configured by this very address.
    pub(super) fn is_target(&self, address: IpAddr, port: u16) -> bool {
        let is = |target: &Target| {
            target.authority.port == port && target.authority.host.ip() == Some(address)
        };
        self.backends.iter().any(is)
    }

    /// Who answers where `rule` applies; of no rule, if there is but one pool.
    pub(super) fn pool(&self, rule: Option<&Rule>) -> Option<Pool> {
        let pool = match rule {
            Some(rule) => self.pools.get(rule.pool)?,
            None => self.pools.first().filter(|_| self.pools.len() == 1)?,
        };
        let backends = pool.members.iter().filter_map(|&index| self.backends.get(index));
        Some(Pool {
            name: pool.name.to_string(),
            balancing: pool.balancing.algorithm.name().to_owned(),
            backends: backends.map(Backend::of).collect(),
        })
    }

    pub(super) fn cgroup(&self) -> Option<String> {
        match &self.intercept.cgroup {
            CgroupChoice::Auto => None,
            CgroupChoice::Path(path) => Some(path.display().to_string()),
        }
    }

    /// Whether some programs' connections are left alone.
    pub(super) fn goes_by_program(&self) -> bool {
        !self.intercept.include.is_empty() || !self.intercept.exclude.is_empty()
    }
}

/// Where a target is, as people write it.
pub(super) fn url_of(scheme: Scheme, authority: &TargetAuthority) -> String {
    let scheme = match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    format!("{scheme}://{authority}")
}

impl Backend {
    fn of(target: &Target) -> Self {
        Self {
            name: target.name.to_string(),
            url: url_of(target.scheme, &target.authority),
            weight: target.weight,
        }
    }
}
