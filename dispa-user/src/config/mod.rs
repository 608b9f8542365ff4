//! The configuration: a TOML file in, a checked [`Config`] or the list of all that is wrong out.
//!
//! Floor 2. One file per section reads that section; `section` and `value` are the reader they
//! share. Serde is not used: it stops at the first error, and a person wants all of them.

mod admin;
mod balancing;
mod connections;
mod domains;
mod effective;
mod environment;
mod error;
mod expected;
mod findings;
mod health_check;
mod http;
mod intercept;
mod logging;
mod monitoring;
mod pools;
mod problem;
mod programs;
mod reference;
mod schema;
mod section;
mod server;
mod shape;
mod suggest;
mod syntax;
mod target;
mod targets;
mod traffic_log;
mod value;
mod virtual_host;

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::rules::Rules;
use domains::Domains;
use environment::Environment;
use pools::Pools;
use problem::{Document, Problem};
use section::Section;
use syntax::Parsed;
use targets::Targets;

pub use admin::{Admin, DEFAULT_SOCKET, Page};
pub use balancing::{Balancing, HashKey, Secret, StickyCookie};
pub use connections::UpstreamConnections;
pub use effective::{Origin, Setting};
pub use error::ConfigError;
pub use health_check::{HealthCheck, LONGEST_EJECTION, Thresholds};
pub use http::{Forwarded, Http};
pub use intercept::{CgroupChoice, Dns, Intercept, OnNoBackend, Scope};
pub use logging::{Format, Level, Logging, Output};
pub use monitoring::{Monitoring, MonitoringPort};
pub use pools::Pool;
pub use programs::Programs;
pub use reference::REFERENCE;
pub use server::Server;
pub use target::{HostField, Protocol, Scheme, Target, TargetAuthority};
pub use traffic_log::{DatabaseUrl, LogContent, LogDatabase, LogFiles, TrafficLog};

/// A configuration that was checked: whoever holds one need not check again.
#[derive(Debug, Clone)]
pub struct Config {
    /// The explicit door, and the limits that hold for both.
    pub server: Server,
    /// How HTTP is spoken.
    pub http: Http,
    /// Which domains are intercepted, and which of `pools` answers.
    pub rules: Rules,
    /// Who can answer.
    pub backends: Vec<Target>,
    /// Who does for which domains. The first is that of the list of targets, which may be empty; no
    /// rule leads to a pool that is.
    pub pools: Vec<Pool>,
    /// How backends are watched.
    pub health: HealthCheck,
    /// How many connections are kept to them.
    pub connections: UpstreamConnections,
    /// What the kernel redirects.
    pub intercept: Intercept,
    /// What the daemon says of itself.
    pub logging: Logging,
    /// How every exchange is written down; none if none is.
    pub traffic_log: Option<TrafficLog>,
    /// Where the daemon answers questions about itself.
    pub admin: Admin,
    /// Where metrics and health are served.
    pub monitoring: Monitoring,
    /// What is odd but allowed, each ready to be shown to a person.
    pub warnings: Vec<String>,
}

/// What the command line and the environment say; they win over the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Replaces `server.bind_address`.
    pub bind_address: Option<SocketAddr>,
    /// Names and values; `DISPA__SERVER__WORKERS` replaces `server.workers`.
    pub environment: Vec<(String, String)>,
    /// Whether reports and warnings are coloured, for a terminal.
    pub styled: bool,
}

impl Config {
    /// Reads and checks a file.
    pub fn from_file(path: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        let bytes = std::fs::read(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(text_of(&bytes, path)?, &path.to_string_lossy(), overrides)
    }

    /// Where the daemon answers that goes by an older text than this, which may be wrong: as far as it
    /// can be read, else where it is by default.
    #[must_use]
    pub fn socket_in(text: &str, overrides: &Overrides) -> PathBuf {
        let environment = Environment::below(text, &overrides.environment);
        let Parsed { mut tree, .. } = Parsed::new(environment.file());
        environment.apply(tree.get_mut());
        let admin = tree.get_ref().get("admin").and_then(|it| it.get_ref().as_table());
        let socket = admin.and_then(|admin| admin.get("socket")?.get_ref().as_str());
        socket.filter(|it| it.starts_with('/')).unwrap_or(DEFAULT_SOCKET).into()
    }

    /// Checks the text of a configuration; `name` is what reports call it.
    pub fn parse(text: &str, name: &str, overrides: &Overrides) -> Result<Self, ConfigError> {
        let environment = Environment::below(text, &overrides.environment);
        let document = Document { name, text: &environment.text, styled: overrides.styled };
        let (config, problems) = check(&environment);
        let (errors, warnings): (Vec<_>, Vec<_>) =
            problems.iter().partition(|problem| problem.is_error());
        match config {
            Some(config) if errors.is_empty() => {
                Ok(config.completed(&document, &warnings, overrides))
            }
            _ => Err(invalid(&document, &errors)),
        }
    }

    /// This configuration as it can take the place of `old` while the daemon runs, and the keys that
    /// have changed and cannot: they are as they were.
    #[must_use]
    pub fn in_place_of(mut self, old: &Self) -> (Self, Vec<&'static str>) {
        let mut stay = Vec::new();
        let mut keep = |key, differs: bool| {
            if differs {
                stay.push(key);
            }
        };
        let (server, intercept) = (&old.server, &old.intercept);
        keep("server.bind_address", self.server.bind_address != server.bind_address);
        keep("server.workers", self.server.workers != server.workers);
        keep("intercept.enabled", self.intercept.enabled != intercept.enabled);
        keep("intercept.cgroup", self.intercept.cgroup != intercept.cgroup);
        keep("intercept.ports", self.intercept.ports != intercept.ports);
        keep("intercept.scope", self.intercept.scope != intercept.scope);
        keep("intercept.dns", self.intercept.dns != intercept.dns);
        keep("intercept.attribution", self.intercept.attribution != intercept.attribution);
        keep("intercept.include", self.intercept.include != intercept.include);
        keep("intercept.exclude", self.intercept.exclude != intercept.exclude);
        keep("logging.level", self.logging.level != old.logging.level);
        keep("logging.format", self.logging.format != old.logging.format);
        keep("logging.output", self.logging.output != old.logging.output);
        keep("logging (traffic log)", self.traffic_log != old.traffic_log);
        keep("admin.socket", self.admin.socket != old.admin.socket);
        let (ours, theirs) = (&self.admin.page, &old.admin.page);
        keep("admin.address", ours.address() != theirs.address());
        keep("admin.token_file", ours.token_file != theirs.token_file);
        keep("admin.allowed_hosts", ours.allowed_hosts != theirs.allowed_hosts);
        let (ours, theirs) = (&self.monitoring, &old.monitoring);
        let ips = |it: &Monitoring| (it.metrics.address.ip(), it.health.address.ip());
        let port = |it: &MonitoringPort| it.address.port();
        keep("monitoring.enabled", ours.enabled != theirs.enabled);
        keep("monitoring.bind_address", ips(ours) != ips(theirs));
        keep("monitoring.metrics_port", port(&ours.metrics) != port(&theirs.metrics));
        keep("monitoring.health_check_port", port(&ours.health) != port(&theirs.health));
        self.server.bind_address = server.bind_address;
        self.server.workers = server.workers;
        let on_no_backend = self.intercept.on_no_backend;
        self.intercept = Intercept { on_no_backend, ..intercept.clone() };
        self.logging = old.logging.clone();
        self.traffic_log.clone_from(&old.traffic_log);
        self.admin = old.admin.clone();
        self.monitoring = old.monitoring.clone();
        (self, stay)
    }

    /// Refuses a target that is the explicit door: it would be asked by itself, for ever.
    pub fn refuse_door(&self, door: SocketAddr) -> Result<(), ConfigError> {
        let is_door = |target: &&Target| {
            let TargetAuthority { host, port } = &target.authority;
            let stands_for =
                |ip: IpAddr| ip == door.ip() || (door.ip().is_unspecified() && ip.is_loopback());
            let same_host = host.ip().is_some_and(stands_for) || host.as_str() == "localhost";
            *port == door.port() && same_host
        };
        match self.backends.iter().find(is_door).filter(|_| door.port() != 0) {
            Some(target) => Err(ConfigError::OwnDoor { name: Arc::clone(&target.name), door }),
            None => Ok(()),
        }
    }

    /// The addresses of backends that are written as such.
    pub fn backend_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let authorities = self.backends.iter().map(|target| &target.authority);
        authorities.filter_map(|it| Some(SocketAddr::new(it.host.ip()?, it.port)))
    }

    fn read(root: &mut Section<'_>) -> Self {
        let server = root.table("server", Server::read);
        let http = root.table("http", Http::read);
        let domains = root.table("domains", Domains::read);
        let targets = root.table("targets", Targets::read);
        let intercept = root.table("intercept", Intercept::read);
        let (logging, traffic_log) =
            root.table("logging", |it| (Logging::read(it), TrafficLog::read(it)));
        let admin = root.table("admin", Admin::read);
        let monitoring = root.table("monitoring", Monitoring::read);
        refuse_no_targets(root, &domains, &targets);
        let (connections, health) = (targets.connections, targets.health.clone());
        let pools = Pools::read(root, targets, &domains);
        warn_of_idleness(root, &domains, &pools);
        Self {
            server,
            http,
            rules: domains.into_rules(pools.rules),
            backends: pools.backends,
            pools: pools.all,
            health,
            connections,
            intercept,
            logging,
            traffic_log,
            admin,
            monitoring,
            warnings: Vec::new(),
        }
    }

    fn completed(
        mut self,
        document: &Document<'_>,
        warnings: &[&Problem],
        overrides: &Overrides,
    ) -> Self {
        self.warnings =
            warnings.iter().take(MOST_SHOWN).map(|warning| document.render(warning)).collect();
        if let more @ 1.. = warnings.len().saturating_sub(MOST_SHOWN) {
            self.warnings.push(format!("warning: and {more} more like these"));
        }
        if let Some(address) = overrides.bind_address {
            self.server.bind_address = address;
        }
        self
    }
}

/// Problems of a kind that are shown, each with its place; nobody reads more, and each takes a look at
/// the whole text.
const MOST_SHOWN: usize = 100;

/// What a file holds, as text.
pub fn text_of<'b>(bytes: &'b [u8], path: &Path) -> Result<&'b str, ConfigError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = memchr::memchr_iter(b'\n', good).count() + 1;
        ConfigError::NotText { path: path.to_owned(), line }
    })
}

/// What the text says, and all that is wrong with it in the order of the text. A configuration
/// next to an error is not to be used.
fn check(environment: &Environment) -> (Option<Config>, Vec<Problem>) {
    let Parsed { mut tree, mut problems, legible } = Parsed::new(environment.file());
    problems.extend(environment.apply(tree.get_mut()));
    let config = legible.then(|| {
        let (config, findings) = Section::read_document(tree.get_ref(), Config::read);
        problems.extend(findings.into_problems());
        config
    });
    problems.sort_by_key(Problem::position);
    (config, problems)
}

fn refuse_no_targets(root: &mut Section<'_>, domains: &Domains, targets: &Targets) {
    if let (Some(first), false) = (domains.intercept.first(), targets.any) {
        let problem = Problem::error("domains are intercepted, but there is no target to answer");
        root.report(problem.at(first.span.clone(), "").help(
            "add one: a [[targets.targets]] section with `name = \"...\"` and `url = \"http://host:port\"`",
        ));
    }
}

fn warn_of_idleness(root: &mut Section<'_>, domains: &Domains, pools: &Pools) {
    if domains.intercept.is_empty() && pools.rules.is_empty() {
        let problem = Problem::warning("no domain is intercepted");
        let problem = match &domains.span {
            Some(span) => problem.at(span.clone(), ""),
            None => problem,
        };
        root.report(problem.help("name some: `intercept_domains = [\"example.com\"]`"));
    }
}

fn invalid(document: &Document<'_>, errors: &[&Problem]) -> ConfigError {
    let count = errors.len();
    let plural = if count == 1 { "" } else { "s" };
    let shown = errors.iter().take(MOST_SHOWN);
    let mut parts: Vec<String> = shown.map(|error| document.render(error)).collect();
    if let more @ 1.. = count.saturating_sub(MOST_SHOWN) {
        parts.push(format!("error: and {more} more"));
    }
    parts.push(format!("{}: {count} error{plural}", document.name));
    ConfigError::Invalid { report: parts.join("\n\n"), count }
}

#[cfg(test)]
mod tests;
