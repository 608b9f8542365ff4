//! Something around the daemon breaks.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{Attachment, ForeignProgram, Holder, Site, Traffic, direct, now_ns};
use dispa_lab::{Config, Dispa, HttpServer, Lab, Neighbour, Process, until};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::signal::Signal,
};

use crate::scene::{OFTEN, fault, first, ms, probe, unnoticed};

const SOON: Duration = Duration::from_secs(30);

/// How long a fault is left to do its worst.
const A_WHILE: Duration = Duration::from_millis(1500);

/// A file system of 16 MB.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(place: &Path) -> Result<Self> {
        fs::create_dir_all(place)?;
        mount(Some("small"), place, Some("tmpfs"), MsFlags::empty(), Some("size=16m"))?;
        Ok(Self(place.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Otherwise the lab's directory cannot be removed.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

#[test]
fn the_disk_is_full() -> Result<()> {
    fault("disk full", |lab, site| {
        let traffic = Traffic::new(lab, "traffic");
        let disk = SmallDisk::mount(traffic.directory())?;
        let sections = traffic.sections("file", "flush_interval_ms = 100");
        let dispa = site.dispa(&Site::config_of_one().sections(&sections))?;
        unnoticed(site, dispa, |dispa| {
            let filler = disk.0.join("filler");
            // As much as there is room for.
            let _ = fs::write(&filler, vec![0; 32 << 20]);
            dispa.record("the traffic log cannot be written", &[])?;
            thread::sleep(A_WHILE);
            let freed_ns = now_ns()?;
            fs::remove_file(&filler)?;
            dispa.record("the traffic log is written again", &[])?;
            Ok(format!("written again {:.0} ms after there was room", ms(now_ns()? - freed_ns)))
        })
    })
}

const MORTAL: &str = "127.0.0.1:3999";

#[test]
fn all_targets_are_dead() -> Result<()> {
    for (on_no_backend, instead) in [("fail", None), ("passthrough", Some("original"))] {
        fault(&format!("all targets dead, on_no_backend {on_no_backend}"), |_, site| {
            let address: SocketAddr = MORTAL.parse()?;
            let target = HttpServer::start("mortal", &[address])?;
            let keys = format!("on_no_backend = {on_no_backend:?}");
            let config = Config::new(&[Site::NAME]).target("mortal", address).intercept_keys(&keys);
            let dispa = site.dispa(&config)?;
            let probe = probe(site, OFTEN)?;
            probe.first("mortal", 0)?;
            let died_ns = now_ns()?;
            drop(target);
            if let Some(instead) = instead {
                first(&probe, instead, died_ns)?;
            }
            thread::sleep(A_WHILE);
            let back_ns = now_ns()?;
            let target = HttpServer::start("mortal", &[address])?;
            let again = first(&probe, "mortal", back_ns)?;
            let answers = probe.end()?;
            let who = answers.who(died_ns..back_ns).join(" | ");
            dispa.stop()?;
            drop(target);
            Ok(format!("meanwhile {who:?}, served again {again:.0} ms after one was back"))
        })?;
    }
    Ok(())
}

fn resolver(verb: &str) -> Result<()> {
    direct("ip", &["addr", verb, &format!("{}/32", Lab::RESOLVER), "dev", "lo"])?
        .success()
        .map(drop)
}

#[test]
fn the_resolver_is_dead() -> Result<()> {
    fault("resolver dead", |_, site| {
        // Due again at once.
        site.dns.set(Site::NAME, &[Site::V4, Site::V6], 1);
        let dispa = site.dispa(&Site::config_of_one())?;
        unnoticed(site, dispa, |_| {
            resolver("del")?;
            thread::sleep(A_WHILE);
            let asked = site.curl(&["http://example.com/"]);
            ensure!(asked.is_err(), "{asked:?}");
            let back_ns = now_ns()?;
            resolver("add")?;
            until(SOON, "a name that resolves", || {
                site.curl(&["http://example.com/"]).ok().filter(|who| who == "one")
            })?;
            Ok(format!("resolved again {:.0} ms after it was back", ms(now_ns()? - back_ns)))
        })
    })
}

const CLOCK: &str = include_str!("../../clients/clock.c");

/// A daemon whose wall clock is off by the seconds in the file.
fn with_clock(lab: &Lab, site: &Site<'_>, config: &Config) -> Result<(Dispa, PathBuf)> {
    let (source, library) = (lab.file("clock.c", CLOCK)?, lab.directory().join("clock.so"));
    let paths = [&source, &library].map(|path| path.display().to_string());
    direct("cc", &["-shared", "-fPIC", "-O1", "-o", &paths[1], &paths[0]])?.success()?;
    let jump = lab.file("jump", "0")?;
    let script = format!(
        "#!/bin/sh\nLD_PRELOAD={} CLOCK_JUMP={} exec {} \"$@\"\n",
        paths[1],
        jump.display(),
        Dispa::binary()?.display()
    );
    let script = lab.file("with-clock", &script)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok((Dispa::start_binary(&script, lab, &site.cgroup, config)?, jump))
}

const YEAR: i64 = 366 * 86_400;

#[test]
fn the_clock_jumps() -> Result<()> {
    fault("clock jumps a year", |lab, site| {
        let traffic = Traffic::new(lab, "traffic");
        let sections = traffic.sections("both", "flush_interval_ms = 100");
        let (dispa, jump) = with_clock(lab, site, &Site::config_of_one().sections(&sections))?;
        let year = |log: &[dispa_lab::Record]| -> Result<i32> {
            let last = log.last().context("a record")?;
            Ok(last.text("timestamp").get(..4).context("a year")?.parse()?)
        };
        unnoticed(site, dispa, |dispa| {
            let mut years = vec![year(&dispa.log())?];
            for seconds in [YEAR, -YEAR] {
                // Whole at any time.
                let next = jump.with_extension("next");
                fs::write(&next, seconds.to_string())?;
                fs::rename(&next, &jump)?;
                thread::sleep(A_WHILE);
                years.push(year(&dispa.log())?);
            }
            let now = years[0];
            ensure!(years == [now, now + 1, now - 1], "{years:?}");
            Ok(format!("{years:?}"))
        })
    })
}

fn open_clients(dispa: &Dispa) -> Result<u64> {
    let file = dispa.file().display().to_string();
    let told = direct(Dispa::binary()?, &["status", "--json", "-c", &file])?.success()?;
    let status: serde_json::Value = serde_json::from_str(&told)?;
    status["clients"]["open"].as_u64().context("no count of clients")
}

#[test]
fn a_thousand_clients_send_half_a_request() -> Result<()> {
    fault("1,000 slow-loris clients", |_, site| {
        let dispa = site.dispa(&Site::config_of_one().sections("[http]\nheader_timeout = 4"))?;
        unnoticed(site, dispa, |dispa| {
            let begun_ns = now_ns()?;
            let slow = Holder::start(site, "slow", 1000, "half")?;
            ensure!(slow.by("held") == 1000, "{:?}", slow.counts());
            let most = open_clients(dispa)?;
            until(SOON, "the end of them", || open_clients(dispa).ok().filter(|it| *it < 100))?;
            let ended = ms(now_ns()? - begun_ns);
            slow.let_go()?;
            Ok(format!("{most} open at once, all ended after {ended:.0} ms, of 4 s each"))
        })
    })
}

#[test]
fn clients_vanish_without_a_word() -> Result<()> {
    fault("100 half-open connections", |_, site| {
        let neighbour = Neighbour::new()?;
        let config = Site::config_of_one().bind("0.0.0.0:8080".parse()?);
        let dispa = site.dispa(&config.server_keys("keep_alive_timeout = 1"))?;
        unnoticed(site, dispa, |dispa| {
            let mut python = neighbour.command(&site.cgroup, "python3");
            let to = ["192.0.2.1", "8080", Site::NAME];
            let far = Holder::elsewhere(&mut python, to, 100, "whole")?;
            ensure!(far.by("one") == 100, "{:?}", far.counts());
            direct("ip", &["link", "set", "near", "down"])?.success()?;
            let (cut_ns, before) = (now_ns()?, open_clients(dispa)?);
            until(SOON, "the end of them", || open_clients(dispa).ok().filter(|it| *it < 20))?;
            let ended = ms(now_ns()? - cut_ns);
            Ok(format!("{before} open, all ended after {ended:.0} ms, of 1 s of silence each"))
        })
    })
}

#[test]
fn the_configuration_is_deleted() -> Result<()> {
    fault("configuration file deleted", |_, site| {
        let dispa = site.dispa(&Site::config_of_one())?;
        unnoticed(site, dispa, |dispa| {
            let text = fs::read(dispa.file())?;
            fs::remove_file(dispa.file())?;
            dispa.signal(Signal::SIGHUP)?;
            let stays = |record: &dispa_lab::Record| {
                record.message().starts_with("the configuration stays as it is")
            };
            dispa.wait_for(SOON, stays)?;
            fs::write(dispa.file(), text)?;
            let back_ns = now_ns()?;
            dispa.record("reloaded", &[])?;
            Ok(format!("refused, and read {:.0} ms after it was back", ms(now_ns()? - back_ns)))
        })
    })
}

#[test]
fn the_cgroup_is_removed() -> Result<()> {
    fault("cgroup removed while attached", |lab, site| {
        let cgroup = site.cgroup.path().join("attached");
        fs::create_dir(&cgroup)?;
        let file = Dispa::write(lab, &Site::config_of_one(), &cgroup)?;
        let mut command = site.cgroup.command(Dispa::binary()?);
        let command = command.env("DISPA__ADMIN__ADDRESS", "").arg("-c").arg(&file);
        let dispa = Process::start(command)?;
        dispa.wait_for_line(SOON, |line| line.text.contains("\"ready\""))?;
        let ask = || {
            let mut curl = Command::new("sh");
            curl.args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec curl -sSf "$1""#]);
            dispa_lab::run(curl.arg(&cgroup).arg("http://four.example.com/"), SOON)?.success()
        };
        let before = ask()?;
        until(SOON, "a cgroup without programs", || fs::remove_dir(&cgroup).ok())?;
        fs::create_dir(&cgroup)?;
        let made_ns = now_ns()?;
        until(SOON, "the new cgroup is attached to", || ask().ok().filter(|who| who == "one"))?;
        let again = ms(now_ns()? - made_ns);
        dispa.signal(Signal::SIGTERM)?;
        dispa.finish(SOON)?.success()?;
        ensure!(before == "one", "{before}");
        Ok(format!("a new one of that name is attached to {again:.0} ms after it was made"))
    })
}

#[test]
fn a_foreign_program_comes_and_goes() -> Result<()> {
    fault("foreign program attached and detached", |_, site| {
        let dispa = site.dispa(&Site::config_of_one())?;
        unnoticed(site, dispa, |_| {
            for how in [Attachment::Link, Attachment::Link, Attachment::Lasting] {
                let to = Site::V4.to_string();
                drop(ForeignProgram::attach(&site.cgroup, "198.51.100.77", &to, how)?);
            }
            Ok("three times".to_owned())
        })
    })
}
