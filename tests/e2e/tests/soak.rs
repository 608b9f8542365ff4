//! For a long time under half a load, with reloads, targets that die and come back, and upgrades: memory,
//! descriptors, slots and threads stay what they were.
//!
//! `DISPA_SOAK_MINUTES` says how long; by default it is long enough to see that all of this happens.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{Site, http1::Client};
use dispa_lab::{Config, Dispa, HttpServer, Lab, Process, run};

const SOON: Duration = Duration::from_mins(1);

/// One thing happens in each turn: a reload, a death, a return, and after some rounds of these an upgrade.
const TURN: Duration = Duration::from_secs(2);
const SHORT: Duration = Duration::from_secs(14);
/// Turns from upgrade to upgrade, in a short run and in a long one.
const SHORT_ROUND: u32 = 4;
const LONG_ROUND: u32 = 240;

/// What a process of the daemon may have grown by, from its first third to its last: KiB, and a share.
const GROWTH_KIB: f64 = 4096.0;
const GROWTH_SHARE: f64 = 0.15;

const MORTAL: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 3004);

fn config(turn: u32) -> Config {
    Config::new(&[Site::NAME, Site::DOOR])
        .target("one", Site::backend(1))
        .weighted_target("two", Site::backend(2), turn % 3 + 1)
        .target("mortal", SocketAddr::from(MORTAL))
}

/// An intercepted program: some 150 requests a second, on connections of 20.
const PROGRAM: &str = "
import http.client, sys, threading, time
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
made = 0
while not over.is_set():
    connection = http.client.HTTPConnection('example.com', timeout=30)
    for _ in range(20):
        connection.request('GET', '/')
        answer = connection.getresponse()
        body = answer.read().decode().strip()
        assert answer.status == 200 and body in ('one', 'two', 'mortal'), (answer.status, body)
        made += 1
        time.sleep(0.006)
    connection.close()
print(made)
";

fn ask_until(is_over: &AtomicBool) -> Result<usize> {
    let mut made = 0;
    while !is_over.load(Ordering::Relaxed) {
        let answer = Client::connect(Config::EXPLICIT_DOOR)?.get(Site::DOOR, "/")?;
        ensure!(answer.status == 200 && answer.whole, "{answer:?}");
        made += 1;
        thread::sleep(Duration::from_millis(5));
    }
    Ok(made)
}

/// What one process has at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    process: u32,
    minutes: f64,
    figures: [f64; 4],
}

const FIGURES: [&str; 4] = ["KiB", "descriptors", "threads", "slots"];

impl Sample {
    fn of(dispa: &Dispa, begun: Instant) -> Result<Self> {
        let process = dispa.id();
        let count =
            |what: &str| fs::read_dir(format!("/proc/{process}/{what}")).map(Iterator::count);
        let mut command = Command::new(Dispa::binary()?);
        let told = run(command.args(["status", "--json", "-c"]).arg(dispa.file()), SOON)?;
        let status: serde_json::Value = serde_json::from_str(&told.success()?)?;
        let slots = status["kernel"]["slots_in_use"].as_f64().context("no slots")?;
        let memory = u32::try_from(dispa.memory_kib("VmRSS")?)?;
        let (descriptors, threads) = (u32::try_from(count("fd")?)?, u32::try_from(count("task")?)?);
        let figures = [memory.into(), descriptors.into(), threads.into(), slots];
        Ok(Self { process, minutes: begun.elapsed().as_secs_f64() / 60.0, figures })
    }
}

/// By how much the figure grows in a minute (least squares), and its means in the first and the last third.
fn growth(samples: &[Sample], figure: usize) -> (f64, f64, f64) {
    let of = |sample: &Sample| sample.figures[figure];
    let mean = |some: &[Sample], of: &dyn Fn(&Sample) -> f64| {
        some.iter().map(of).sum::<f64>() / f64::from(u32::try_from(some.len().max(1)).unwrap_or(1))
    };
    let third = samples.len() / 3;
    let (x, y) = (mean(samples, &|it| it.minutes), mean(samples, &of));
    let across: f64 = samples.iter().map(|it| (it.minutes - x) * (of(it) - y)).sum();
    let along: f64 = samples.iter().map(|it| (it.minutes - x).powi(2)).sum();
    let slope = if along > 0.0 { across / along } else { 0.0 };
    (slope, mean(&samples[..third], &of), mean(&samples[samples.len() - third..], &of))
}

#[test]
fn nothing_grows_over_time() -> Result<()> {
    let minutes = env::var("DISPA_SOAK_MINUTES").ok().map(|it| it.parse::<u64>()).transpose()?;
    let (lasts, round) =
        minutes.map_or((SHORT, SHORT_ROUND), |it| (Duration::from_mins(it), LONG_ROUND));
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let mut mortal = Some(HttpServer::start("mortal", &[MORTAL.into()])?);
        let dispa = site.dispa(&config(0))?;
        let program = Process::start(site.cgroup.command("python3").args(["-c", PROGRAM]))?;
        let is_over = AtomicBool::new(false);
        let begun = Instant::now();
        let mut samples = Vec::new();
        let mut done = [0_u32; 3];
        let asked = thread::scope(|scope| {
            let asking = scope.spawn(|| ask_until(&is_over));
            let mut turn = 0;
            let mut go_on = || -> Result<()> {
                while begun.elapsed() < lasts {
                    turn += 1;
                    if turn % round == 0 {
                        dispa.upgrade()?;
                        done[2] += 1;
                    } else if turn % 3 == 1 {
                        fs::write(dispa.file(), config(turn).text(site.cgroup.path()))?;
                        done[0] += 1;
                    } else if let Some(dies) = mortal.take() {
                        drop(dies);
                        done[1] += 1;
                    } else {
                        mortal = Some(HttpServer::start("mortal", &[MORTAL.into()])?);
                    }
                    samples.push(Sample::of(&dispa, begun)?);
                    thread::sleep((begun + TURN * turn).saturating_duration_since(Instant::now()));
                }
                Ok(())
            };
            let went = go_on();
            is_over.store(true, Ordering::Relaxed);
            let asked = asking.join().ok().context("a panic")?;
            went.and(asked)
        })?;
        let intercepted = program.finish(SOON)?.success()?;
        let [reloads, deaths, upgrades] = done;
        println!(
            "{asked} requests at the explicit door, {} at the other, {reloads} reloads, {deaths} deaths of \
             a target, {upgrades} upgrades",
            intercepted.trim()
        );
        for one in samples.chunk_by(|a, b| a.process == b.process) {
            for (figure, name) in FIGURES.iter().enumerate() {
                let (slope, first, last) = growth(one, figure);
                println!(
                    "process {}, {} looks: {name} {first:.0} -> {last:.0}, {slope:+.2} a minute",
                    one[0].process,
                    one.len()
                );
                let room = if figure == 0 { GROWTH_KIB } else { 40.0 };
                // A process that has just begun fills its pools and caches.
                let is_flat = last <= first * (1.0 + GROWTH_SHARE) + room;
                ensure!(is_flat || one.len() < 30, "{name} grow: {first:.0} -> {last:.0}");
            }
        }
        ensure!(upgrades > 0 && deaths > 0 && reloads > 0);
        dispa.stop().map(drop)
    })
}
