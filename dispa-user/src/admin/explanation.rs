//! The answer: what would happen, and why. Its JSON is what the socket answers and `--json` prints.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Protocol;
use crate::types::HostName;

/// What would happen to connections or requests, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// What was asked about, in its one spelling.
    pub of: String,
    /// Who knows.
    pub source: Source,
    /// The pattern that intercepts the host asked for.
    pub rule: Option<String>,
    /// The pattern that excludes it.
    pub exclusion: Option<String>,
    /// Its addresses, as far as they are known.
    pub addresses: Vec<Learned>,
    /// Who answers for intercepted domains; `None` where that is of no concern.
    pub pool: Option<Pool>,
    /// The cgroup directory whose programs alone are intercepted; `None`: every program.
    pub cgroup: Option<String>,
    /// Whether lists say whose connections are left alone.
    #[serde(default)]
    pub by_program: bool,
    /// What happens, by protocol and port.
    pub cases: Vec<Case>,
}

/// Where an explanation comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A running daemon, with what it has learned.
    Daemon,
    /// The configuration file alone.
    File,
}

/// One address that is looked up or asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// The address.
    pub address: IpAddr,
    /// The intercepted names that it belongs to.
    pub owners: Vec<Owner>,
    /// The slots that stand for it, one for each port that has one.
    pub slots: Vec<Slot>,
}

/// A name that owns an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The name.
    pub name: String,
    /// How much longer it does unless a new answer prolongs it, in seconds.
    pub remaining_seconds: u64,
}

/// A slot that stands for an address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The port.
    pub port: u16,
    /// The loopback address that connections are sent to instead.
    pub address: IpAddr,
}

/// Who answers for intercepted domains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// The tag of its backends; `default` for the list of targets.
    pub name: String,
    /// How exchanges are spread.
    pub balancing: String,
    /// All of them, of either scheme.
    pub backends: Vec<Backend>,
}

/// One server that can answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// As configured.
    pub name: String,
    /// `http://host:port` or `https://host:port`.
    pub url: String,
    /// Its share; 0 for none.
    pub weight: u32,
}

/// What happens on one port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// What is spoken.
    pub protocol: Protocol,
    /// Where.
    pub port: u16,
    /// What happens.
    pub verdict: Verdict,
    /// Why, the first reason first.
    pub reasons: Vec<String>,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Intercepted; a backend answers.
    Backends,
    /// Intercepted; handed on, still encrypted, to a backend that speaks TLS.
    TlsToBackend,
    /// A rule applies, but no backend speaks TLS: relayed to where it was going.
    TlsPasses,
    /// A rule applies, but no backend speaks plain HTTP: relayed to where it was going.
    HttpPasses,
    /// A rule applies, but no backend that could answer may be picked.
    NoBackend,
    /// Redirected, and the name asked for decides.
    ByName,
    /// Redirected, read, and relayed to where it was going: no rule applies.
    Relayed,
    /// Left alone because an exclusion says so.
    Excluded,
    /// Not intercepted at all.
    Direct,
    /// Only a running daemon could tell.
    Unknown,
}

impl Verdict {
    /// What people read.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Backends => "intercepted: a backend answers",
            Self::TlsToBackend => "intercepted: handed on, still encrypted, to an https backend",
            Self::TlsPasses | Self::HttpPasses => "passes to where it was going, unchanged",
            Self::NoBackend => "intercepted: no backend answers",
            Self::ByName => "redirected: the name asked for decides",
            Self::Relayed => "redirected, then relayed untouched to where it was going",
            Self::Excluded => "excluded: no backend answers, it reaches where it was going",
            Self::Direct => "not intercepted: goes direct",
            Self::Unknown => "not known",
        }
    }
}

impl Learned {
    /// Whether `host` owns it.
    pub(super) fn is_of(&self, host: &HostName) -> bool {
        self.owners.iter().any(|owner| owner.name == host.as_str())
    }

    /// Whether a slot stands for it and `port`.
    pub(super) fn has_slot(&self, port: u16) -> bool {
        self.slots.iter().any(|slot| slot.port == port)
    }
}
