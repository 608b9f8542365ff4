//! Whether connections really arrive is known, and so is what keeps them from it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{Attachment, ForeignProgram, Site};
use dispa_lab::{Cgroup, Config, Dispa, Lab, Process, run};
use serde_json::Value;

const DEAF: &str = include_str!("../clients/deaf.py");

/// Where probes arrive over IPv4, and where they may be sent instead: nobody is there.
const PROBE_SLOT: &str = "127.208.255.255";
const NOBODY: &str = "127.0.0.9";

/// Far more than the five seconds within which a fault is known on an idle machine.
const SOON: Duration = Duration::from_mins(1);

/// Between two looks at the status.
const PAUSE: Duration = Duration::from_millis(100);

/// Numbers of attach types (include/uapi/linux/bpf.h).
const CONNECT4: &str = "10";
const GETPEERNAME4: &str = "29";

fn tell(program: &str, arguments: &[&str]) -> Result<String> {
    run(Command::new(program).args(arguments), SOON)?.success()
}

/// `effective path` as the running daemon tells it.
fn path(dispa: &Dispa) -> Result<Value> {
    let mut command = Command::new(Dispa::binary()?);
    let told = run(command.args(["status", "--json", "-c"]).arg(dispa.file()), SOON)?.success()?;
    Ok(serde_json::from_str::<Value>(&told)?["path"].clone())
}

/// Waits until the status says so, and says how long that took.
fn until(dispa: &Dispa, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<()> {
    let begun = Instant::now();
    loop {
        let path = path(dispa)?;
        if is_so(&path) {
            println!("{what}: known after {:?}: {path}", begun.elapsed());
            return Ok(());
        }
        ensure!(begun.elapsed() < SOON, "{what}: {path}");
        thread::sleep(PAUSE);
    }
}

fn until_known(dispa: &Dispa, fault: &str) -> Result<()> {
    until(dispa, fault, |path| {
        let faults = path["faults"].as_array().into_iter().flatten();
        let mut said = faults.filter_map(|it| it["what"].as_str());
        path["standing"] == "broken" && said.any(|it| it.contains(fault))
    })
}

fn until_proven(dispa: &Dispa) -> Result<()> {
    until(dispa, "well again", |path| path["standing"] == "proven")
}

/// The number after `field` in what the kernel says of each descriptor of the daemon that has it.
fn descriptors(dispa: &Dispa, field: &str) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{}/fdinfo", dispa.id()))? {
        let info = fs::read_to_string(entry?.path()).unwrap_or_default();
        let value = info.lines().find_map(|line| line.strip_prefix(field));
        if let Some(value) = value {
            found.push((value.trim().to_owned(), info));
        }
    }
    Ok(found)
}

fn detach(dispa: &Dispa, attach_type: &str) -> Result<()> {
    let links = descriptors(dispa, "link_id:")?;
    let is_it = |info: &str| {
        let said = info.lines().find_map(|line| line.strip_prefix("attach_type:"));
        said.is_some_and(|it| it.trim() == attach_type)
    };
    let link = links.iter().find(|(_, info)| is_it(info)).context("it is attached")?;
    tell("bpftool", &["link", "detach", "id", &link.0]).map(drop)
}

/// The number of a map of the daemon.
fn map(dispa: &Dispa, name: &str) -> Result<String> {
    for (id, _) in descriptors(dispa, "map_id:")? {
        let shown: Value =
            serde_json::from_str(&tell("bpftool", &["-j", "map", "show", "id", &id])?)?;
        if shown["name"] == name {
            return Ok(id);
        }
    }
    anyhow::bail!("the daemon has no map {name}")
}

/// The keys of a map, as `bpftool` writes and reads them.
fn keys(map: &str) -> Result<Vec<Vec<String>>> {
    let dump: Value = serde_json::from_str(&tell("bpftool", &["-j", "map", "dump", "id", map])?)?;
    let entries = dump.as_array().context("entries")?.iter();
    let bytes = |key: &Value| {
        let bytes = key.as_array().into_iter().flatten();
        bytes.filter_map(|it| it.as_str().map(str::to_owned)).collect()
    };
    Ok(entries.map(|entry| bytes(&entry["key"])).collect())
}

fn change(verb: &str, map: &str, key: &[String], value: &[&str]) -> Result<()> {
    let key: Vec<&str> = key.iter().map(String::as_str).collect();
    let with = [&["map", verb, "id", map, "key"], key.as_slice(), value].concat();
    tell("bpftool", &with).map(drop)
}

/// A daemon that lives in another cgroup than the one it intercepts.
fn living_in(cgroup: &Path, lab: &Lab, site: &Site<'_>, config: &Config) -> Result<Dispa> {
    let (cgroup, binary) = (cgroup.display(), Dispa::binary()?);
    let script =
        format!("#!/bin/sh\necho $$ > {cgroup}/cgroup.procs && exec {} \"$@\"\n", binary.display());
    let script = lab.file("dispa-elsewhere", &script)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Dispa::start_binary(&script, lab, &site.cgroup, config)
}

#[test]
fn a_daemon_that_starts_has_proven_its_path_and_counts_no_probe_as_a_programs() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        // The daemon's own user is not among those whose connections are intercepted.
        let dispa = site.dispa(&Site::config_of_one().intercept_keys("include.uids = [1001]"))?;
        let told = path(&dispa)?;
        ensure!(told["standing"] == "proven" && told["faults"] == serde_json::json!([]), "{told}");
        until(&dispa, "another look", |path| path["since_seconds"].as_u64() > Some(2))?;
        let stopped = dispa.stop()?;
        let counts = ["redirected_v4", "redirected_v6", "excluded", "own_socket", "slots_held"];
        for count in counts {
            ensure!(stopped.summary.count(count) == Some(0), "{:?}", stopped.summary);
        }
        ensure!(stopped.log.iter().all(|it| it.message() != "exchange"), "{:?}", stopped.log);
        Ok(())
    })
}

#[test]
fn changed_tables_and_a_missing_route_are_known_and_a_detached_program_is_attached_again()
-> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&Site::config_of_one())?;
        let (destinations, slots) = (map(&dispa, "DESTINATIONS4")?, map(&dispa, "SLOTS")?);
        let routes = tell("ip", &["-6", "route", "show", "table", "local", "proto", "209"])?;
        let route =
            routes.split_whitespace().find(|it| it.contains("::/64")).context(routes.clone())?;
        let known = keys(&destinations)?;
        // Slots of the tests' names come after those on offer to the kernel's programs.
        let slot = ["0x01", "0x08", "0x00", "0x00"].map(str::to_owned);
        let other: Vec<&str> = [&["value"], ["0x07"; 20].as_slice()].concat();
        detach(&dispa, GETPEERNAME4)?;
        until_known(&dispa, "no longer attached: dispa_peer4")?;
        until_proven(&dispa)?;
        change("update", &slots, &slot, &other)?;
        tell("ip", &["-6", "route", "del", "local", route, "dev", "lo", "table", "local"])?;
        until_known(&dispa, "slot 2049 of")?;
        until_known(&dispa, "the route that leads IPv6 connections to dispa is gone")?;
        for key in &known {
            change("delete", &destinations, key, &[])?;
        }
        until_known(&dispa, "127.208.0.0")?;
        until_known(&dispa, "entries are not those of dispa")?;
        let mut text = Command::new(Dispa::binary()?);
        let text = run(text.args(["status", "-c"]).arg(dispa.file()), SOON)?.success()?;
        ensure!(text.contains("effective path: BROKEN for "), "{text}");
        dispa.stop().map(drop)
    })
}

#[test]
fn a_foreign_program_in_the_way_is_known_before_ours_and_behind() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let below = site.cgroup.path().join("below");
        fs::create_dir(&below)?;
        let dispa = living_in(&below, lab, &site, &Site::config_of_one())?;
        let behind = ForeignProgram::attach(&site.cgroup, PROBE_SLOT, NOBODY, Attachment::Link)?;
        until_known(&dispa, "127.208.0.0")?;
        drop(behind);
        until_proven(&dispa)?;
        // A cgroup's own programs run before those of its parent.
        let site_address = Site::V4.to_string();
        let before = ForeignProgram::attach_to(&below, &site_address, NOBODY, Attachment::Link)?;
        until_known(&dispa, &site_address)?;
        drop(before);
        until_proven(&dispa)?;
        dispa.stop().map(drop)
    })
}

#[test]
fn what_stops_redirection_is_known() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&Site::config_of_one())?;
        let control = map(&dispa, "CONTROL")?;
        // The daemon writes it again four times a second.
        let value = format!("hex {} 01 00 00 00 00 00 00 00", "ff ".repeat(8).trim());
        let script = format!(
            "while :; do bpftool map update id {control} key hex 00 00 00 00 value {value}; done"
        );
        let pausing = Process::start(Command::new("sh").args(["-c", &script]))?;
        until_known(&dispa, "redirection is paused")?;
        drop(pausing);
        until_proven(&dispa)?;
        detach(&dispa, CONNECT4)?;
        until_known(&dispa, "no longer attached: dispa_connect4")?;
        until_proven(&dispa)?;
        let port = dispa.wait_for(SOON, |it| it.text("door") == "transparent")?;
        let (_, port) = port.text("address").rsplit_once(':').context("an address")?;
        tell("python3", &["-c", DEAF, &dispa.id().to_string(), port])?;
        until_known(&dispa, "a worker has shown no sign of life")?;
        dispa.stop().map(drop)
    })
}

#[test]
fn a_cgroup_that_is_removed_is_missed_and_attached_to_when_it_is_made_again() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let home = Cgroup::new()?;
        let dispa = living_in(home.path(), lab, &site, &Site::config_of_one())?;
        let told = path(&dispa)?;
        ensure!(told["standing"] == "assumed", "{told}");
        let site_cgroup = site.cgroup.path();
        fs::remove_dir(site_cgroup)?;
        until_known(&dispa, "was removed")?;
        fs::create_dir(site_cgroup)?;
        until_known(&dispa, "was removed and made again")?;
        until(&dispa, "attached again", |path| path["standing"] == "assumed")?;
        assert_eq!(site.curl(&["http://four.example.com/"])?, "one");
        dispa.stop().map(drop)
    })
}
