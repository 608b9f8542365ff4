//! The service is confined as promised, and docs/footprint.md tells all that a running daemon listens at,
//! writes and may.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use dispa_e2e::Site;
use dispa_lab::{Dispa, Lab, run, until};

const SOON: Duration = Duration::from_secs(30);

/// As told, for people.
const TOLD: &str = include_str!("../../../docs/footprint.md");
/// The unit that is shipped.
const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/dispa.service");
/// What `systemd-analyze security` may say of it at most, in tenths.
const EXPOSURE: &str = "--threshold=25";

/// Capabilities by their bits (include/uapi/linux/capability.h).
const CAPABILITIES: [(u32, &str); 6] = [
    (2, "CAP_DAC_READ_SEARCH"),
    (10, "CAP_NET_BIND_SERVICE"),
    (12, "CAP_NET_ADMIN"),
    (19, "CAP_SYS_PTRACE"),
    (38, "CAP_PERFMON"),
    (39, "CAP_BPF"),
];

/// The words in backticks of the first `columns` columns of the rows below a heading.
fn told(heading: &str, columns: usize) -> BTreeSet<String> {
    let section = TOLD.split("\n## ").find(|it| it.starts_with(heading)).unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let told: BTreeSet<_> = rows
        .map(|row| {
            let cells = row.split('|').take(columns).map(|cell| cell.replace('`', ""));
            cells.map(|cell| cell.trim().to_owned()).collect::<Vec<_>>().join(" ")
        })
        .collect();
    assert!(!told.is_empty(), "there is no table of {heading}");
    told
}

/// What the table says that this process holds.
fn told_of(process: &str) -> BTreeSet<String> {
    let row = TOLD.lines().find_map(|line| line.strip_prefix(&format!("| {process} | ")));
    let words = row.unwrap_or_default().split(['`', ' ', '|']);
    words.filter(|word| word.starts_with("CAP_")).map(str::to_owned).collect()
}

/// A daemon with the service's capabilities and no others, and a traffic log.
struct Service<'lab> {
    lab: &'lab Lab,
    dispa: Dispa,
}

impl<'lab> Service<'lab> {
    fn start(site: &Site<'lab>) -> Result<Self> {
        let lab = site.lab;
        let names = CAPABILITIES.map(|(_, name)| name.trim_start_matches("CAP_").to_lowercase());
        let only = format!("--bounding-set=-all,+{}", names.join(",+"));
        let binary = Dispa::binary()?;
        let script = format!("#!/bin/sh\nexec setpriv {only} {} \"$@\"\n", binary.display());
        let script = lab.file("dispa-confined", &script)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        let directory = |name| lab.directory().join(name).display().to_string();
        let sections = format!(
            "[admin]\ntoken_file = \"{}/token\"\n[logging.file]\ndirectory = \"{}\"",
            directory("lib"),
            directory("log"),
        );
        let config = Site::config_of_one().monitoring("enabled = true").page().sections(&sections);
        let dispa = Dispa::start_binary(&script, lab, &site.cgroup, &config)?;
        dispa.record("answering", &[])?;
        Ok(Self { lab, dispa })
    }

    /// The address of each listener, with the ports that are chosen anew each time left out.
    fn listeners(&self) -> Result<BTreeSet<String>> {
        let mut command = Command::new("ss");
        command.args(["--no-header", "--listening", "--numeric", "--processes"]);
        command.args(["--tcp", "--udp", "--unix"]);
        let said = run(&mut command, SOON)?.success()?;
        let ours = format!("pid={},", self.dispa.id());
        let lines = said.lines().filter(|line| line.contains(&ours));
        Ok(lines.map(listener).collect())
    }

    /// Every file it made, where it would be in a service, and its mode.
    fn files(&self) -> Result<BTreeSet<String>> {
        let lab = self.lab.directory();
        let places: [(&str, PathBuf); 3] = [
            ("/run", "/run".into()),
            ("/var/lib/dispa", lab.join("lib")),
            ("/var/log/dispa", lab.join("log")),
        ];
        let mut files = BTreeSet::new();
        for (there, here) in places {
            for line in found(&here)?.lines() {
                let (mode, path) = line.split_once(' ').context("find told no path")?;
                files.insert(format!("{there}/{} {mode}", undated(path)));
            }
        }
        Ok(files)
    }

    /// The daemon's only child.
    fn keeper(&self) -> Result<u32> {
        let daemon = self.dispa.id();
        let children = fs::read_to_string(format!("/proc/{daemon}/task/{daemon}/children"))?;
        Ok(children.trim().parse()?)
    }
}

/// `PROTOCOL ADDRESS` of a line of `ss`.
fn listener(line: &str) -> String {
    let fields: Vec<_> = line.split_whitespace().collect();
    let protocol = fields[0].replace("u_str", "unix");
    let address = fields[4];
    let chosen = address.rsplit_once(':').filter(|(host, _)| host.ends_with("%lo"));
    chosen.map_or(format!("{protocol} {address}"), |(host, _)| format!("{protocol} {host}:*"))
}

fn found(directory: &Path) -> Result<String> {
    let mut find = Command::new("find");
    find.arg(directory).args(["!", "-type", "d", "-printf", "%m %P\\n"]);
    run(&mut find, SOON)?.success()
}

/// The name of a file without the day in it.
fn undated(path: &str) -> String {
    let day = path.strip_prefix("traffic-").and_then(|rest| rest.strip_suffix(".log"));
    day.map_or(path.to_owned(), |_| "traffic-YYYY-MM-DD.log".to_owned())
}

/// A field of `/proc/PID/status`.
fn status(process: u32, field: &str) -> Result<String> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Ok(line.with_context(|| format!("no {field} in\n{text}"))?.trim().to_owned())
}

/// The names of the bits of a set in `/proc/PID/status`; a bit without a name is told by its number.
fn capabilities(process: u32, set: &str) -> Result<BTreeSet<String>> {
    let bits = u64::from_str_radix(&status(process, set)?, 16)?;
    let name = |bit: u32| CAPABILITIES.iter().find(|it| it.0 == bit).map(|it| it.1.to_owned());
    let held = (0..u64::BITS).filter(|bit| bits & (1 << bit) != 0);
    Ok(held.map(|bit| name(bit).unwrap_or(bit.to_string())).collect())
}

#[test]
fn the_unit_leaves_little_open() -> Result<()> {
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true", "--no-pager", EXPOSURE, UNIT]);
    run(&mut analyze, SOON)?.success()?;
    Ok(())
}

#[test]
fn the_unit_grants_what_is_told() -> Result<()> {
    let unit = fs::read_to_string(UNIT)?;
    for key in ["AmbientCapabilities=", "CapabilityBoundingSet="] {
        let line = unit.lines().find_map(|line| line.strip_prefix(key)).context("no such key")?;
        let granted: BTreeSet<_> = line.split(' ').map(str::to_owned).collect();
        assert_eq!(granted, told_of("keeper"), "{key}");
    }
    Ok(())
}

#[test]
fn listeners_files_and_capabilities_are_those_that_are_told() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let service = Service::start(&site)?;
        assert_eq!(site.curl(&["http://four.example.com/"])?, "one");
        until(SOON, "the traffic log", || found(&lab.directory().join("log")).ok())?;

        assert_eq!(service.listeners()?, told("Listeners", 2));
        assert_eq!(service.files()?, told("Files", 2));

        let daemon = service.dispa.id();
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(capabilities(daemon, set)?, told_of("daemon"), "{set}");
        }
        assert_eq!(status(daemon, "NoNewPrivs")?, "1");
        assert_eq!(status(daemon, "Seccomp")?, "2");
        let keeper = service.keeper()?;
        assert_eq!(capabilities(keeper, "CapEff")?, told_of("keeper"));
        service.dispa.stop()?;
        Ok(())
    })
}
