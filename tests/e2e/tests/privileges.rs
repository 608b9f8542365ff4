//! What reads the network has no privileges; what has them reads nothing.

use std::{collections::BTreeSet, fs, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{Site, Traces};
use dispa_lab::{Dispa, Finished, Lab, run, until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const SOON: Duration = Duration::from_secs(30);

/// A field of each thread's status (proc(5)), each value once.
fn of_threads(pid: u32, field: &str) -> Result<BTreeSet<String>> {
    let mut values = BTreeSet::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        values.insert(value.with_context(|| format!("no {field} in {status}"))?.trim().to_owned());
    }
    Ok(values)
}

/// The process that the daemon has beside it.
fn keeper(dispa: &Dispa) -> Result<u32> {
    let id = dispa.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
    children.split_whitespace().next().context("the daemon has no child")?.parse().context("an id")
}

/// What a daemon has put on the host: kernel programs, and routes of slots.
fn left(site: &Site<'_>) -> Result<Vec<String>> {
    let Traces { programs, routes, .. } = Traces::of(&site.cgroup)?;
    let routes = routes.concat();
    let of_slots = routes.lines().filter(|line| line.contains("fd64:6973:7061:"));
    Ok(programs.lines().chain(of_slots).map(str::to_owned).collect())
}

fn cleanup(dispa: &Dispa) -> Result<Finished> {
    let mut command = Command::new(Dispa::binary()?);
    run(command.arg("cleanup").arg("-c").arg(dispa.file()), SOON)
}

#[test]
fn no_thread_of_the_daemon_has_a_capability_or_may_get_one() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&Site::config_of_one())?;
        assert_eq!(site.curl(&["http://example.com/"])?, "one");
        let none = "0".repeat(16);
        for (field, value) in [
            ("CapEff", none.as_str()),
            ("CapPrm", none.as_str()),
            ("CapInh", none.as_str()),
            ("CapAmb", none.as_str()),
            ("NoNewPrivs", "1"),
            // `SECCOMP_MODE_FILTER`.
            ("Seccomp", "2"),
        ] {
            let values = of_threads(dispa.id(), field)?;
            assert_eq!(values, BTreeSet::from([value.to_owned()]), "{field}");
        }
        // The one that has them has no socket of the network, and no kernel program's link.
        let keeper = keeper(&dispa)?;
        ensure!(of_threads(keeper, "CapEff")? != BTreeSet::from([none]));
        for descriptor in fs::read_dir(format!("/proc/{keeper}/fd"))? {
            let is = fs::read_link(descriptor?.path())?.to_string_lossy().into_owned();
            let number = is.strip_prefix("socket:[").map(|it| it.trim_end_matches(']'));
            for table in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet"] {
                let sockets = fs::read_to_string(format!("/proc/{keeper}/net/{table}"))?;
                let is_there =
                    number.is_some_and(|it| sockets.split_whitespace().any(|word| word == it));
                ensure!(!is_there, "{is} is of {table}");
            }
            ensure!(!is.contains("bpf_link"), "the keeper holds {is}");
        }
        dispa.stop().map(drop)
    })
}

#[test]
fn killed_it_leaves_nothing_for_its_keeper_takes_it_away() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&Site::config_of_one())?;
        ensure!(left(&site)?.iter().any(|it| it.contains("fd64")), "no route");
        dispa.kill()?;
        until(SOON, "no trace", || left(&site).ok()?.is_empty().then_some(()))
    })
}

#[test]
fn what_both_leave_when_both_are_killed_is_cleaned_up() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&Site::config_of_one())?;
        let told = cleanup(&dispa)?.success()?;
        ensure!(!told.contains("removed"), "it takes away what is needed: {told}");
        ensure!(told.contains("in use: kernel program"), "{told}");
        assert_eq!(site.curl(&["http://six.example.com/"])?, "one");
        let keeper = Pid::from_raw(i32::try_from(keeper(&dispa)?)?);
        kill(keeper, Signal::SIGKILL)?;
        dispa.kill()?;
        until(SOON, "the end of its programs", || (left(&site).ok()?.len() == 1).then_some(()))?;
        let told = cleanup(&dispa)?.stdout();
        ensure!(told.contains("removed route fd64:6973:7061:"), "{told}");
        ensure!(told.contains("removed socket"), "{told}");
        assert_eq!(left(&site)?, Vec::<String>::new());
        Ok(())
    })
}

#[test]
fn without_its_keeper_it_goes_on() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&Site::config_of_one())?;
        kill(Pid::from_raw(i32::try_from(keeper(&dispa)?)?), Signal::SIGKILL)?;
        assert_eq!(site.curl(&["http://example.com/"])?, "one");
        let mut upgrade = Command::new(Dispa::binary()?);
        let refused = run(upgrade.args(["upgrade", "-c"]).arg(dispa.file()), SOON)?;
        ensure!(refused.code() == Some(1), "{refused:?}");
        ensure!(refused.stderr().contains("the keeper does not answer"), "{refused:?}");
        assert_eq!(site.curl(&["http://example.com/"])?, "one");
        dispa.stop().map(drop)
    })
}
