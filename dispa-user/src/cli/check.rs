//! `dispa check`: what is wrong with a configuration file, and what is odd about it.

use std::{
    collections::HashSet,
    fmt,
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::{CliError, runtime, say, write_answer};
use crate::{
    config::{Config, Overrides, TargetAuthority},
    dns::resolve,
    types::HostName,
};

/// How long names are asked for. Without an answer nothing is said of them.
const PATIENCE: Duration = Duration::from_secs(2);

/// Names that are asked for at once.
const AT_ONCE: usize = 64;

/// What came of it.
#[derive(Debug, Serialize)]
struct Verdict<'f> {
    file: &'f str,
    /// Whether it may be used.
    valid: bool,
    /// All that is wrong with it, ready to be shown.
    error: Option<String>,
    /// All that is odd about it, ready to be shown.
    warnings: Vec<String>,
}

/// Checks a file. The verdict goes to standard output, what is wrong or odd to standard error, or, as
/// JSON, all to standard output. The exit code.
pub(super) fn run(file: &Path, overrides: &Overrides, json: bool) -> Result<u8, CliError> {
    let name = file.to_string_lossy();
    let config = Config::from_file(file, overrides)
        .and_then(|config| config.refuse_door(config.server.bind_address).map(|()| config));
    let verdict = match config {
        Err(error) if !json => return Err(error.into()),
        Err(error) => {
            let error = Some(error.to_string());
            Verdict { file: &name, valid: false, error, warnings: Vec::new() }
        }
        Ok(config) => {
            let mut warnings = config.warnings.clone();
            warnings.extend(runtime()?.block_on(loops(&config)));
            Verdict { file: &name, valid: true, error: None, warnings }
        }
    };
    if !json {
        for warning in &verdict.warnings {
            say(format_args!("{warning}\n"));
        }
    }
    write_answer(&verdict, json)?;
    Ok(u8::from(!verdict.valid))
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.warnings.len() {
            0 => writeln!(f, "{}: nothing is wrong with it", self.file),
            1 => writeln!(f, "{}: it may be used; 1 warning", self.file),
            count => writeln!(f, "{}: it may be used; {count} warnings", self.file),
        }
    }
}

/// Intercepted names that stand for a target's own address: it is never redirected. What could not be
/// asked in time is left out.
async fn loops(config: &Config) -> Vec<String> {
    let end = Instant::now() + PATIENCE;
    let hosts: Vec<&HostName> = config.backends.iter().map(|it| &it.authority.host).collect();
    let addresses = addresses_of(&hosts, end).await;
    let mut targets = HashSet::new();
    for target in &config.backends {
        let TargetAuthority { host, port } = &target.authority;
        let all = addresses.iter().filter(|(name, _)| name == host);
        targets.extend(all.map(|(_, ip)| SocketAddr::new(*ip, *port)));
    }
    let names: Vec<&HostName> = config.rules.exact_names().collect();
    let mut warnings = Vec::new();
    for (name, ip) in addresses_of(&names, end).await {
        let all = config.intercept.ports.iter().map(|port| SocketAddr::new(ip, *port));
        for address in all.filter(|address| targets.contains(address)) {
            warnings.push(format!(
                "warning: `{name}` has the address of a target, {address}: connections to it are \
                 not redirected"
            ));
        }
    }
    warnings
}

/// The addresses that are known before `end`, each with its name.
async fn addresses_of(names: &[&HostName], end: Instant) -> Vec<(HostName, IpAddr)> {
    let mut known = Vec::new();
    for some in names.chunks(AT_ONCE) {
        let asked = join_all(some.iter().map(|name| resolve(name)));
        let Ok(answers) = timeout_at(end, asked).await else { break };
        for answer in answers {
            let addresses = answer.addresses.unwrap_or_default();
            known.extend(addresses.into_iter().map(|ip| (answer.name.clone(), ip)));
        }
    }
    known
}
