//! A daemon takes over from another: nobody is refused, nobody goes direct, nothing is cut.

use std::{
    env, fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{Answers, EchoSocket, Probe, Site, Traces, echo_backend, http1::Client};
use dispa_lab::{Config, Dispa, Lab, Process, run, until};

const SOON: Duration = Duration::from_mins(1);

/// With a machine for itself, `DISPA_UPGRADES` asks for that many under a thousand connections a second.
const UPGRADES: u32 = 4;
const WEBSOCKETS: usize = 50;
/// Programs that are intercepted, and the microseconds after which each connects again, done or not.
const PROBES: usize = 3;
const PAUSE_US: &str = "10000";
const FULL_PAUSE_US: &str = "3000";

const ECHO: &str = "echo.test";
const ECHO_BACKEND: ([u8; 4], u16) = ([127, 0, 0, 1], 3990);

fn config() -> Config {
    let address = SocketAddr::from(ECHO_BACKEND);
    Config::new(&[Site::NAME, Site::DOOR]).target("one", Site::backend(1)).sections(&format!(
        "[[backends]]\nid = \"echo\"\naddress = \"{address}\"\ntags = [\"echo\"]\n\
         [[virtual_hosts]]\ndomain = \"{ECHO}\"\nenabled_backends_tag = \"echo\""
    ))
}

/// A new connection each time, as fast as they come; how many there were.
fn ask_until(is_over: &AtomicBool) -> Result<usize> {
    let mut made = 0;
    while !is_over.load(Ordering::Relaxed) {
        let answer = Client::connect(Config::EXPLICIT_DOOR)?.get(Site::DOOR, "/")?;
        ensure!(answer.status == 200 && answer.whole, "{answer:?}");
        made += 1;
    }
    Ok(made)
}

#[test]
fn upgrades_under_load_refuse_nobody_let_nobody_by_and_cut_nothing() -> Result<()> {
    let (upgrades, pause) = match env::var("DISPA_UPGRADES") {
        Ok(number) => (number.parse().context("DISPA_UPGRADES")?, FULL_PAUSE_US),
        Err(_) => (UPGRADES, PAUSE_US),
    };
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let before = Traces::of(&site.cgroup)?;
        let _echo = echo_backend(ECHO_BACKEND.into())?;
        let dispa = site.dispa(&config())?;
        let destination = SocketAddr::from((Site::V4, 80)).to_string();
        let probe = || {
            let mut command = site.cgroup.command(env!("CARGO_BIN_EXE_probe"));
            Probe::start(command.args([&destination, Site::NAME, pause]))
        };
        let probes: Vec<Probe> = (0..PROBES).map(|_| probe()).collect::<Result<_>>()?;
        probes.iter().try_for_each(|probe| probe.first("one", 0).map(drop))?;
        let mut open: Vec<EchoSocket> =
            (0..WEBSOCKETS).map(|_| EchoSocket::begin(ECHO)).collect::<Result<_>>()?;
        let is_over = AtomicBool::new(false);
        let begun = Instant::now();
        let asked = thread::scope(|scope| {
            let asking = scope.spawn(|| ask_until(&is_over));
            let went = (1..=upgrades).try_for_each(|turn| {
                dispa.upgrade()?;
                open.iter_mut().try_for_each(|it| it.says(turn))
            });
            is_over.store(true, Ordering::Relaxed);
            let asked = asking.join().ok().context("a panic")?;
            went.and(asked)
        })?;
        let took = begun.elapsed();
        let ended = probes.into_iter().map(Probe::end).collect::<Result<Vec<_>>>()?;
        let connected: usize = ended.iter().map(Answers::count).sum();
        println!(
            "{upgrades} upgrades in {took:?}: {asked} connections to the explicit door and \
             {connected} to the other, {WEBSOCKETS} WebSockets"
        );
        drop(open);
        let stopped = dispa.stop()?;
        // A machine that lets no worker turn for a second has its connections go direct, upgrade or not.
        let reports = stopped.log.iter().filter(|record| record.message() == "stopped");
        let excused: u64 = reports.filter_map(|record| record.count("stale_heartbeat")).sum();
        let direct: usize = ended.iter().map(|it| it.of("original")).sum();
        let refused: usize =
            connected - direct - ended.iter().map(|it| it.of("one")).sum::<usize>();
        println!("{refused} refused, {direct} direct, {excused} of them without a heartbeat");
        assert_eq!(refused, 0);
        ensure!(u64::try_from(direct)? <= excused, "{direct} went direct");
        until(SOON, "no trace", || (Traces::of(&site.cgroup).ok()? == before).then_some(()))
    })
}

/// Asks for it by the daemon's own command.
fn dispa_says(binary: &Path, dispa: &Dispa, command: &[&str]) -> Result<dispa_lab::Finished> {
    run(Command::new(binary).args(command).arg("-c").arg(dispa.file()), SOON)
}

#[test]
fn a_successor_that_does_not_start_changes_nothing() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let copy = lab.file("dispa-copy", "")?;
        fs::copy(Dispa::binary()?, &copy)?;
        let dispa = Dispa::start_binary(&copy, lab, &site.cgroup, &Site::config_of_one())?;
        let id = dispa.id();
        // No program at all, one that ends at once, and the same one with a file that is wrong.
        fs::remove_file(&copy)?;
        let refused = dispa_says(&Dispa::binary()?, &dispa, &["upgrade"])?;
        ensure!(refused.code() == Some(1), "{refused:?}");
        fs::write(&copy, "#!/bin/sh\nexit 1\n")?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
        // Another program is at its path: a reload is an upgrade.
        let refused = dispa_says(&Dispa::binary()?, &dispa, &["reload", "--wait"])?;
        ensure!(refused.code() == Some(1), "{refused:?}");
        ensure!(refused.stderr().contains("did not start"), "{refused:?}");
        assert_eq!(site.curl(&["http://example.com/"])?, "one");
        assert_eq!(dispa.id(), id);
        dispa.stop().map(drop)
    })
}

#[test]
fn what_was_learned_of_wildcards_goes_on() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let name = "below.example.net";
        site.dns.set(name, &[Site::V4], 300);
        let dispa = site.dispa(&Config::new(&["*.example.net"]).target("one", Site::backend(1)))?;
        assert_eq!(site.curl(&["http://below.example.net/"])?, "one");
        dispa.upgrade()?;
        // A program that has cached the answer asks nobody.
        let pinned = format!("{name}:80:{}", Site::V4);
        assert_eq!(site.curl(&["--resolve", &pinned, "http://below.example.net/"])?, "one");
        dispa.stop().map(drop)
    })
}

#[test]
fn a_kept_connection_may_ask_once_more_and_is_told_that_it_is_the_last_time() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&config())?;
        let mut kept = Client::connect(Config::EXPLICIT_DOOR)?;
        let answer = kept.get(Site::DOOR, "/")?;
        ensure!(answer.status == 200 && answer.head.field("connection").is_none(), "{answer:?}");
        dispa.upgrade()?;
        let answer = kept.get(Site::DOOR, "/")?;
        ensure!(
            answer.status == 200 && answer.head.field("connection") == Some("close"),
            "{answer:?}"
        );
        dispa.stop().map(drop)
    })
}

#[test]
fn asked_to_stop_while_a_successor_hangs_it_stops_and_ends_that_too() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let copy = lab.file("dispa-copy", "")?;
        fs::copy(Dispa::binary()?, &copy)?;
        let dispa = Dispa::start_binary(&copy, lab, &site.cgroup, &Site::config_of_one())?;
        fs::remove_file(&copy)?;
        // It says who it is, and then nothing for a long time.
        let told = lab.file("successor", "")?;
        fs::write(&copy, format!("#!/bin/sh\necho $$ > {}\nexec sleep 600\n", told.display()))?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
        let mut upgrade = Command::new(Dispa::binary()?);
        let upgrade = Process::start(upgrade.arg("upgrade").arg("-c").arg(dispa.file()))?;
        let id: u32 =
            until(SOON, "a successor", || fs::read_to_string(&told).ok()?.trim().parse().ok())?;
        assert_eq!(site.curl(&["http://example.com/"])?, "one");
        dispa.stop()?;
        ensure!(!Path::new("/proc").join(id.to_string()).exists(), "process {id} goes on");
        ensure!(upgrade.finish(SOON)?.code() != Some(0));
        Ok(())
    })
}
