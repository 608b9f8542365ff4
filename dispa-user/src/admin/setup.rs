//! What the configuration says, as far as it explains anything.

use std::net::{IpAddr, SocketAddr};

use super::explanation::{Backend, Pool};
use crate::{
    balance::Algorithm,
    config::{CgroupChoice, Config, Intercept, Scheme, Target},
    rules::Rules,
};

/// What the configuration says, as far as it explains anything.
#[derive(Clone, Debug)]
pub struct Setup {
    pub(super) rules: Rules,
    pub(super) exclusions: Rules,
    pub(super) intercept: Intercept,
    pub(super) explicit_door: SocketAddr,
    targets: Vec<Target>,
    balancing: Algorithm,
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
            exclusions: config.exclusions.clone(),
            intercept: config.intercept.clone(),
            explicit_door: config.server.bind_address,
            targets: config.targets.clone(),
            balancing: config.balancing,
        }
    }

    pub(super) fn answerers(&self, scheme: Scheme) -> Answerers {
        let speak = || self.targets.iter().filter(|target| target.scheme == scheme);
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

    /// Whether a target is configured by this very address.
    pub(super) fn is_target(&self, address: IpAddr, port: u16) -> bool {
        let is = |target: &Target| {
            target.authority.port == port && target.authority.host.ip() == Some(address)
        };
        self.targets.iter().any(is)
    }

    pub(super) fn pool(&self) -> Pool {
        let backends = self.targets.iter().map(Backend::of).collect();
        Pool { balancing: self.balancing.name().to_owned(), backends }
    }

    pub(super) fn cgroup(&self) -> Option<String> {
        match &self.intercept.cgroup {
            CgroupChoice::Auto => None,
            CgroupChoice::Path(path) => Some(path.display().to_string()),
        }
    }
}

impl Backend {
    fn of(target: &Target) -> Self {
        let scheme = match target.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        Self {
            name: target.name.to_string(),
            url: format!("{scheme}://{}", target.authority),
            weight: target.weight,
        }
    }
}
