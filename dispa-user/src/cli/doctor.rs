//! `dispa doctor`: what interception needs of this host, line by line, each with its fix.

use std::{
    fmt, fs,
    net::{Ipv4Addr, Ipv6Addr},
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use dispa_common::selection::{BY_CGROUP, BY_USER, USERS_ONLY};
use serde::Serialize;

use super::{CliError, write_answer};
use crate::{
    config::{CgroupChoice, Config, Overrides},
    dns::resolve,
    kernel::{
        AttachedProgram, Cgroup2, Doors, Interceptor, OLDEST_KERNEL, Options, Selection,
        attached_programs, kernel_release, missing_capabilities, require,
    },
    net::{SocketDiag, explicit_door, transparent_door},
    types::HostName,
};

/// How one check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grade {
    #[serde(rename = "ok")]
    Good,
    /// Legal, but worth knowing.
    Note,
    #[serde(rename = "fail")]
    Bad,
}

/// One line of the report, and its fix where there is one.
#[derive(Serialize)]
struct Finding {
    grade: Grade,
    check: &'static str,
    text: String,
    fix: Option<String>,
}

/// Checks everything, prints it, and says by its exit code whether anything is missing.
pub(super) fn run(config: &Path, json: bool) -> Result<u8, CliError> {
    let (config, finding) = read_config(config);
    let mut findings = vec![finding, kernel(), btf(), capabilities()];
    findings.extend(cgroup(config.as_ref()));
    findings.push(load());
    findings.push(target_counts());
    findings.push(attribution());
    findings.push(door("door, IPv4", Ipv4Addr::LOCALHOST.into()));
    findings.push(door("door, IPv6", Ipv6Addr::LOCALHOST.into()));
    findings.extend(config.as_ref().map(explicit));
    findings.extend(config.as_ref().map(names));
    let is_bad = findings.iter().any(|finding| finding.grade == Grade::Bad);
    write_answer(&Report(findings), json)?;
    Ok(u8::from(is_bad))
}

/// All lines.
#[derive(Serialize)]
#[serde(transparent)]
struct Report(Vec<Finding>);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|finding| writeln!(f, "{finding}"))
    }
}

fn read_config(path: &Path) -> (Option<Config>, Finding) {
    let check = "configuration";
    match Config::from_file(path, &Overrides::default()) {
        Ok(config) => {
            let text = format!("{} is valid", path.display());
            let finding = match config.warnings.len() {
                0 => Finding::good(check, text),
                count => Finding::note(check, format!("{text}, with {count} warnings")),
            };
            (Some(config), finding)
        }
        Err(error) => {
            let fix = "write one (config/minimal.toml is a start) or name another with -c";
            let first = error.to_string();
            let first = first.lines().next().unwrap_or_default();
            (None, Finding::bad(check, format!("{}: {first}", path.display()), fix))
        }
    }
}

fn kernel() -> Finding {
    let (major, minor) = OLDEST_KERNEL;
    match (kernel_release(), require()) {
        (Ok(release), Err(error @ crate::kernel::KernelError::TooOld { .. })) => Finding::bad(
            "kernel",
            format!("{release}: {error}"),
            format!("boot Linux {major}.{minor} or newer"),
        ),
        (Ok(release), _) => Finding::good("kernel", format!("{release} is new enough")),
        (Err(error), _) => Finding::bad("kernel", error.to_string(), "mount /proc"),
    }
}

fn btf() -> Finding {
    let path = "/sys/kernel/btf/vmlinux";
    if fs::metadata(path).is_ok() {
        return Finding::good("BTF", format!("the kernel describes its types in {path}"));
    }
    Finding::bad(
        "BTF",
        format!("there is no {path}"),
        "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (every distribution's is), mount /sys",
    )
}

fn capabilities() -> Finding {
    match missing_capabilities() {
        Ok(missing) if missing.is_empty() => {
            Finding::good("capabilities", "CAP_BPF and CAP_NET_ADMIN are held")
        }
        Ok(missing) => Finding::bad(
            "capabilities",
            format!("missing: {}", missing.join(", ")),
            "run as root, or grant them: AmbientCapabilities=CAP_BPF CAP_NET_ADMIN in a unit",
        ),
        Err(error) => Finding::bad("capabilities", error.to_string(), "mount /proc"),
    }
}

fn cgroup(config: Option<&Config>) -> Vec<Finding> {
    let mount = match Cgroup2::find() {
        Ok(mount) => mount,
        Err(error) => {
            let fix = "mkdir -p /sys/fs/cgroup/unified && \
                       mount -t cgroup2 none /sys/fs/cgroup/unified";
            return vec![Finding::bad("cgroup2", error.to_string(), fix)];
        }
    };
    let root = mount.root().display();
    let mounted = Finding::good("cgroup2", format!("mounted at {root}"));
    vec![mounted, programs(&attach_point(config, &mount))]
}

fn attach_point(config: Option<&Config>, mount: &Cgroup2) -> PathBuf {
    match config.map(|config| &config.intercept.cgroup) {
        Some(CgroupChoice::Path(path)) => path.clone(),
        Some(CgroupChoice::Auto) | None => mount.root().to_owned(),
    }
}

/// Other programs at our hooks are no fault, but whoever looks for one should know of them.
fn programs(cgroup: &Path) -> Finding {
    let check = "other programs";
    match attached_programs(cgroup) {
        Ok(programs) if programs.is_empty() => {
            Finding::good(check, format!("none at our hooks in {}", cgroup.display()))
        }
        Ok(programs) => {
            let list: Vec<String> = programs.iter().map(describe).collect();
            let text = format!("in {}: {}", cgroup.display(), list.join(", "));
            Finding::note(check, text)
        }
        Err(error) => Finding::bad(
            check,
            format!("cannot ask {}: {error}", cgroup.display()),
            "name an existing cgroup2 directory in intercept.cgroup, and run as root",
        ),
    }
}

fn describe(program: &AttachedProgram) -> String {
    let name = program.name.as_deref().unwrap_or("unnamed");
    format!("{} {name} (id {})", program.hook, program.id)
}

/// The proof: the verifier takes our programs. Nothing is attached.
fn load() -> Finding {
    let options = Options {
        doors: Doors { port4: 1, door6: None },
        events: false,
        clients: true,
        explicit: Some((Ipv4Addr::LOCALHOST, 1).into()),
        selection: Selection { flags: BY_USER | BY_CGROUP | USERS_ONLY, users: Vec::new() },
        dns: true,
        caught_ports: Vec::new(),
    };
    match Interceptor::load(&options) {
        Ok(_) => Finding::good("programs", "the kernel accepts them"),
        Err(error) => Finding::bad(
            "programs",
            error.to_string(),
            "mend what is missing above, if anything is; a security module must allow bpf()",
        ),
    }
}

/// Whether the kernel could count for the targets if a daemon were started as this process was.
fn target_counts() -> Finding {
    let check = "target counts";
    match Cgroup2::find().and_then(|mount| mount.own()) {
        Ok(own) if Cgroup2::is_host_root(&own) => Finding::note(
            check,
            format!(
                "{} is the root of all cgroups: a daemon started from here is not counted for by \
                 the kernel; run it as a systemd service, or in a cgroup of its own",
                own.display()
            ),
        ),
        Ok(own) => {
            Finding::good(check, format!("a daemon started from here has {}", own.display()))
        }
        Err(error) => Finding::note(check, format!("not by the kernel: {error}")),
    }
}

/// Whether it can be told which program made a connection.
fn attribution() -> Finding {
    match SocketDiag::open() {
        Ok(_) => Finding::good("attribution", "the kernel tells whose a connection is"),
        Err(error) => {
            Finding::note("attribution", format!("no program that connects is known: {error}"))
        }
    }
}

fn door(check: &'static str, ip: std::net::IpAddr) -> Finding {
    match transparent_door(ip, NonZeroUsize::MIN) {
        Ok(_) if ip.is_ipv6() && ipv6_is_off() => {
            Finding::note(check, "IPv6 is off on lo; IPv6 connections go direct")
        }
        Ok(_) => Finding::good(check, "lo can be listened on"),
        Err(error) if ip.is_ipv6() => {
            Finding::note(check, format!("{error}; IPv6 connections go direct"))
        }
        Err(error) => Finding::bad(check, error.to_string(), "ip link set lo up"),
    }
}

/// Slots need a route on `lo`, which it refuses then.
fn ipv6_is_off() -> bool {
    fs::read_to_string("/proc/sys/net/ipv6/conf/lo/disable_ipv6")
        .is_ok_and(|value| value.trim() == "1")
}

fn explicit(config: &Config) -> Finding {
    let address = config.server.bind_address;
    match explicit_door(address, NonZeroUsize::MIN) {
        Ok(_) => Finding::good("explicit door", format!("{address} is free")),
        Err(error) => Finding::note("explicit door", format!("{error} (dispa itself, perhaps)")),
    }
}

/// Names that do not resolve are not intercepted, which nothing else would show.
fn names(config: &Config) -> Finding {
    let check = "names";
    let names: Vec<HostName> = config.rules.exact_names().cloned().collect();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Finding::note(check, "no runtime to resolve them with");
    };
    let failures = runtime.block_on(unresolved(&names));
    if failures.is_empty() {
        return Finding::good(check, format!("{} of {0} exact names resolve", names.len()));
    }
    Finding::bad(
        check,
        format!("not intercepted for now: {}", failures.join("; ")),
        "check /etc/resolv.conf and the spelling",
    )
}

/// The names that have no address, with the reason, in their own order.
async fn unresolved(names: &[HostName]) -> Vec<String> {
    let queries: Vec<_> = names
        .iter()
        .cloned()
        .map(|name| tokio::spawn(async move { resolve(&name).await }))
        .collect();
    let mut failures = Vec::new();
    for query in queries {
        if let Ok(answer) = query.await
            && let Err(error) = answer.addresses
        {
            failures.push(format!("{}: {error}", answer.name));
        }
    }
    failures
}

impl Finding {
    fn good(check: &'static str, text: impl Into<String>) -> Self {
        Self { grade: Grade::Good, check, text: text.into(), fix: None }
    }

    fn note(check: &'static str, text: impl Into<String>) -> Self {
        Self { grade: Grade::Note, check, text: text.into(), fix: None }
    }

    fn bad(check: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { grade: Grade::Bad, check, text: text.into(), fix: Some(fix.into()) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = match self.grade {
            Grade::Good => "ok  ",
            Grade::Note => "note",
            Grade::Bad => "FAIL",
        };
        write!(f, "{grade}  {:<15} {}", self.check, self.text)?;
        match &self.fix {
            Some(fix) => write!(f, "\n      {:<15} fix: {fix}", ""),
            None => Ok(()),
        }
    }
}
