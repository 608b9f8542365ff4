//! The daemon ends, or cannot go on.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{Holder, Site, Traces, direct, now_ns};
use dispa_lab::{Dispa, run, until};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::scene::{OFTEN, fault, first, ms, probe};

const SOON: Duration = Duration::from_secs(30);

/// Times that it is killed under load, with four programs each that connect.
const KILLS: usize = 5;

/// Times that it is started and killed. More are worth a look by hand: `DISPA_CYCLES`.
const CYCLES: usize = 10;

#[test]
fn killed() -> Result<()> {
    fault("kill -9", |_, site| {
        let mut gaps = Vec::new();
        for _ in 0..KILLS {
            let dispa = site.dispa(&Site::config_of_one())?;
            let probes = (0..4).map(|_| probe(site, "2000")).collect::<Result<Vec<_>>>()?;
            let started_ns = now_ns()?;
            probes.iter().try_for_each(|probe| probe.first("one", started_ns).map(drop))?;
            let killed_ns = now_ns()?;
            dispa.kill()?;
            for probe in probes {
                gaps.push(first(&probe, "original", killed_ns)?);
                probe.end()?;
            }
        }
        gaps.sort_by(f64::total_cmp);
        let (middle, longest) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
        Ok(format!("{} times, direct after {middle:.1} ms, at most {longest:.1} ms", gaps.len()))
    })
}

#[test]
fn stopped_by_a_signal() -> Result<()> {
    fault("SIGSTOP", |_, site| {
        let dispa = site.dispa(&Site::config_of_one())?;
        let probe = probe(site, OFTEN)?;
        probe.first("one", 0)?;
        let stopped_ns = now_ns()?;
        dispa.signal(Signal::SIGSTOP)?;
        let direct = first(&probe, "original", stopped_ns)?;
        let continued_ns = now_ns()?;
        dispa.signal(Signal::SIGCONT)?;
        let again = first(&probe, "one", continued_ns)?;
        dispa.stop()?;
        Ok(format!("direct after {direct:.0} ms, intercepted {again:.0} ms after SIGCONT"))
    })
}

/// Sets how many descriptors a running daemon may have.
fn limit_descriptors(dispa: &Dispa, descriptors: &str) -> Result<()> {
    let (pid, limit) = (dispa.id().to_string(), format!("--nofile={descriptors}:10000"));
    direct("prlimit", &["--pid", &pid, &limit])?.success().map(drop)
}

#[test]
fn without_descriptors() -> Result<()> {
    fault("no descriptors", |_, site| {
        let dispa = site.dispa(&Site::config_of_one())?;
        let probe = probe(site, OFTEN)?;
        probe.first("one", 0)?;
        let lost_ns = now_ns()?;
        limit_descriptors(&dispa, "10")?;
        let direct = first(&probe, "original", lost_ns)?;
        let found_ns = now_ns()?;
        limit_descriptors(&dispa, "10000")?;
        let again = first(&probe, "one", found_ns)?;
        dispa.stop()?;
        Ok(format!("direct after {direct:.1} ms, intercepted {again:.0} ms after there were some"))
    })
}

/// A cgroup whose processes may have little memory, of v1 where that has the controller.
struct Narrow(PathBuf);

impl Narrow {
    fn new(site: &Site<'_>, bytes: u32) -> Result<Self> {
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let name = site.cgroup.path().file_name().context("a name")?;
        let (path, limit) = if v1.is_dir() {
            (v1.join(name), "memory.limit_in_bytes")
        } else {
            (site.cgroup.path().join("narrow"), "memory.max")
        };
        fs::create_dir(&path)?;
        let narrow = Self(path);
        fs::write(narrow.0.join(limit), bytes.to_string()).context("no controller of memory")?;
        Ok(narrow)
    }
}

impl Drop for Narrow {
    fn drop(&mut self) {
        // What was in it may take a moment to be gone.
        let _ = until(SOON, "an empty cgroup", || fs::remove_dir(&self.0).ok());
    }
}

#[test]
fn at_the_limit_of_its_memory() -> Result<()> {
    fault("memory limit of its cgroup", |_, site| {
        let narrow = Narrow::new(site, 16 << 20)?;
        let dispa = site.dispa(&Site::config_of_one())?;
        fs::write(narrow.0.join("cgroup.procs"), dispa.id().to_string())?;
        let probe = probe(site, OFTEN)?;
        probe.first("one", 0)?;
        // Each takes some 30 KiB; it is killed long before all have come.
        let many = Holder::start(site, "many", 3000, "long")?;
        let (killed, killed_ns) = (dispa.ended().is_err(), now_ns()?);
        ensure!(killed, "it had memory enough: {:?}", many.counts());
        let direct = first(&probe, "original", killed_ns)?;
        Ok(format!("killed; direct within {direct:.1} ms of when that was seen"))
    })
}

/// The ids of the kernel objects of this kind that the process holds, by the lines in its descriptors'
/// `fdinfo` (proc(5)).
fn held(kind: &str, process: u32) -> Result<BTreeSet<u64>> {
    let mut ids = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{process}/fdinfo"))? {
        // It may have been closed since.
        let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
        let id = text.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix("_id:"));
        ids.extend(id.and_then(|id| id.trim().parse::<u64>().ok()));
    }
    ensure!(!ids.is_empty(), "it holds no {kind}");
    Ok(ids)
}

/// The ids of all there are.
fn exist(kind: &str) -> Result<BTreeSet<u64>> {
    let listed = direct("bpftool", &["-j", kind, "show"])?.success()?;
    let all: Vec<Value> = serde_json::from_str(&listed)?;
    Ok(all.iter().filter_map(|it| it["id"].as_u64()).collect())
}

#[test]
fn started_and_killed_again_and_again() -> Result<()> {
    let cycles = std::env::var("DISPA_CYCLES").ok().and_then(|text| text.parse().ok());
    let cycles = cycles.unwrap_or(CYCLES);
    fault("started and killed", |_, site| {
        let before = Traces::of(&site.cgroup)?;
        let (mut programs, mut maps) = (BTreeSet::new(), BTreeSet::new());
        let begun_ns = now_ns()?;
        for _ in 0..cycles {
            let dispa = site.dispa(&Site::config_of_one())?;
            programs.append(&mut held("prog", dispa.id())?);
            maps.append(&mut held("map", dispa.id())?);
            dispa.kill()?;
            let _ = dispa.ended();
        }
        let took = ms(now_ns()? - begun_ns) / 1e3;
        // The kernel frees them when it has the time.
        until(SOON, "no program and no map", || {
            let left = exist("prog").ok()?.intersection(&programs).count()
                + exist("map").ok()?.intersection(&maps).count();
            (left == 0).then_some(())
        })?;
        // The last one's route waits for the next start.
        site.dispa(&Site::config_of_one())?.stop()?;
        // What the last keeper leaves, it leaves a moment after its daemon.
        until(SOON, "no other traces", || {
            (Traces::of(&site.cgroup).ok()? == before).then_some(())
        })?;
        let left = run(Command::new("ls").args(["-A", "/run", "/sys/fs/bpf"]), SOON)?.success()?;
        ensure!(!left.contains("dispa-"), "{left}");
        let (programs, maps) = (programs.len(), maps.len());
        Ok(format!(
            "{cycles} times in {took:.0} s; {programs} programs, {maps} maps, all gone, and no route"
        ))
    })
}
