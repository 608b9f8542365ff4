//! `[intercept]`: the kernel's part.

use std::path::PathBuf;

use super::problem::Problem;
use super::programs::Programs;
use super::section::Section;
use super::value::{Located, Reading, Value, boolean, choice, integer, list, located, parsed};

const DEFAULT_PORTS: [u16; 2] = [80, 443];
/// Each address takes a slot for each port, of 65,536 in all.
const MAX_PORTS: usize = 64;

/// What the kernel redirects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intercept {
    /// Whether the kernel redirects at all; without it only the explicit door is served.
    pub enabled: bool,
    /// Whose connections.
    pub cgroup: CgroupChoice,
    /// To which ports. Not empty, no port twice.
    pub ports: Vec<u16>,
    /// To which addresses.
    pub scope: Scope,
    /// How names become addresses.
    pub dns: Dns,
    /// What becomes of those that no backend can answer.
    pub on_no_backend: OnNoBackend,
    /// Whether it is found out which program makes a connection.
    pub attribution: bool,
    /// Whose connections alone are redirected; everybody's if this is empty.
    pub include: Programs,
    /// Whose are not.
    pub exclude: Programs,
}

/// What becomes of a connection or request at the transparent door that no backend can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnNoBackend {
    /// It is told so.
    Fail,
    /// It goes to its original destination.
    Passthrough,
}

/// Which addresses are intercepted on the ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those learned to belong to an intercepted domain.
    Learned,
    /// All of them: what a connection is for is decided by its Host or SNI alone.
    All,
}

/// How the addresses of intercepted domains are learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dns {
    /// From the answers that programs get, which are relayed; and by asking for exact names.
    Relay,
    /// By asking for exact names only.
    Resolve,
}

const SCOPES: &[(&str, Scope)] = &[("learned", Scope::Learned), ("all", Scope::All)];
const ON_NO_BACKEND: &[(&str, OnNoBackend)] =
    &[("fail", OnNoBackend::Fail), ("passthrough", OnNoBackend::Passthrough)];
const DNS: &[(&str, Dns)] = &[("relay", Dns::Relay), ("resolve", Dns::Resolve)];

/// The cgroup whose processes are intercepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CgroupChoice {
    /// The root of the cgroup v2 hierarchy, wherever it is mounted: the whole host.
    Auto,
    /// This directory, an absolute path, and what is below it.
    Path(PathBuf),
}

impl Intercept {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            enabled: section.key_or("enabled", boolean, true),
            cgroup: section.key_or("cgroup", cgroup, CgroupChoice::Auto),
            ports: section.key("ports", ports).unwrap_or_else(|| DEFAULT_PORTS.to_vec()),
            scope: section.key_or("scope", choice(SCOPES), Scope::Learned),
            dns: section.key_or("dns", choice(DNS), Dns::Relay),
            on_no_backend: section.key_or(
                "on_no_backend",
                choice(ON_NO_BACKEND),
                OnNoBackend::Fail,
            ),
            attribution: section.key_or("attribution", boolean, true),
            include: section.table("include", Programs::read),
            exclude: section.table("exclude", Programs::read),
        }
    }

    /// Whether processes are to have names.
    #[must_use]
    pub const fn names_processes(&self) -> bool {
        self.attribution || self.judges_processes()
    }

    /// Whether it depends on more than the user whether a connection is redirected.
    #[must_use]
    pub const fn judges_processes(&self) -> bool {
        self.include.goes_by_process() || self.exclude.goes_by_process()
    }
}

fn cgroup(value: &Value<'_>) -> Reading<CgroupChoice> {
    let parse = |text: &str| match text {
        "auto" => Ok(CgroupChoice::Auto),
        path if path.starts_with('/') => Ok(CgroupChoice::Path(path.into())),
        _ => Err("neither \"auto\" nor an absolute path"),
    };
    parsed(parse, "name a directory such as \"/sys/fs/cgroup/user.slice\"")(value)
}

fn ports(value: &Value<'_>) -> Reading<Vec<u16>> {
    let ports = list(located(integer(1..=u16::MAX)))(value)?;
    if ports.is_empty() || ports.len() > MAX_PORTS {
        let title = format!("{} ports; there must be from 1 to {MAX_PORTS}", ports.len());
        let problem = Problem::error(title).at(value.span(), "");
        return Err(vec![problem.help("to intercept nothing, set `enabled = false`")]);
    }
    let repeated: Vec<Problem> = repeats(&ports).collect();
    if !repeated.is_empty() {
        return Err(repeated);
    }
    Ok(ports.into_iter().map(|port| port.value).collect())
}

fn repeats(ports: &[Located<u16>]) -> impl Iterator<Item = Problem> {
    ports.iter().enumerate().filter_map(|(index, port)| {
        let first = ports.iter().take(index).find(|before| before.value == port.value)?;
        let problem = Problem::error(format!("port {} is listed twice", port.value));
        Some(problem.at(port.span.clone(), "").at(first.span.clone(), "first here"))
    })
}
