//! A thousand clients that send or read as slowly as they can harm nobody, and are not kept.
//!
//! A client that asks all the time tells what others see of it. It asks two daemons by turns, of
//! which one is attacked: both share whatever else the machine is doing.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{Server, Site, ZeroServer, sockets_of};
use dispa_lab::{Cgroup, Config, Dispa, Lab, Process};

/// The door of the daemon that is attacked, and of the one that is left in peace.
const ATTACKED: SocketAddr = Config::EXPLICIT_DOOR;
const PEACEFUL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);

/// How many attack at once.
const ATTACKERS: usize = 1000;

/// The timeouts that are on trial, and room at the backend for every attacker: whoever waits for it
/// waits before his time begins.
const SECTIONS: &str = "[http]
header_timeout = 10
body_timeout = 10
[targets.connections]
max = 8192
max_per_target = 8192";

/// The longest an attacker may hold its connection; the timeouts are set to 10 s.
const LONGEST: Duration = Duration::from_secs(15);

/// Far more than `slowhttptest` takes until it has no connection left.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Between two requests of the client.
const PACE: Duration = Duration::from_millis(2);

/// Between two counts of the daemon's sockets.
const LOOK: Duration = Duration::from_millis(100);

/// The times that requests took, by daemon.
#[derive(Default)]
struct Times {
    attacked: Vec<Duration>,
    peaceful: Vec<Duration>,
}

/// Asks both daemons, on kept connections and on new ones, for as long as `goes_on`.
fn ask_while(goes_on: impl Fn() -> bool) -> Result<Times> {
    let kept = (connect(ATTACKED)?, connect(PEACEFUL)?);
    let mut times = Times::default();
    while goes_on() {
        times.attacked.push(timed(|| ask(&kept.0))?);
        times.peaceful.push(timed(|| ask(&kept.1))?);
        times.attacked.push(timed(|| ask(&connect(ATTACKED)?))?);
        times.peaceful.push(timed(|| ask(&connect(PEACEFUL)?))?);
    }
    Ok(times)
}

fn timed(asking: impl FnOnce() -> Result<()>) -> Result<Duration> {
    thread::sleep(PACE);
    let begun = Instant::now();
    asking()?;
    Ok(begun.elapsed())
}

fn connect(door: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(door)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// Asks and reads the answer, which tells that the request had no body.
fn ask(mut stream: &TcpStream) -> Result<()> {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: door.test\r\n\r\n")?;
    let (mut answer, mut block) = (Vec::new(), [0; 4096]);
    while !answer.ends_with(b"\r\n\r\n0\n") {
        let length = stream.read(&mut block)?;
        ensure!(length > 0, "the end instead of {:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&block[..length]);
    }
    Ok(())
}

/// The percentile.
fn percentile(times: &mut [Duration], percent: usize) -> Result<Duration> {
    times.sort_unstable();
    times.get(times.len() * percent / 100).copied().context("no request was made")
}

/// How many sockets an attack cost the daemon, and how long it took to be rid of them after the
/// last attacker had come.
struct Siege {
    most: usize,
    held: Duration,
}

/// Counts the sockets of both sides until those of the attack have come and gone.
fn watch(dispa: u32, before: usize, attackers: u32) -> Result<Siege> {
    let begun = Instant::now();
    let (mut most, mut came, mut complete) = (0, 0, begun);
    while begun.elapsed() < TIMEOUT {
        let there = sockets_of(attackers)?;
        if there > came {
            (came, complete) = (there, Instant::now());
        }
        let open = sockets_of(dispa)?.saturating_sub(before);
        most = most.max(open);
        // Of a hundred attackers one may have made some progress in the meantime; and each has a
        // socket, and often another at the backend.
        if came >= ATTACKERS && open <= 2 * ATTACKERS / 100 {
            return Ok(Siege { most, held: complete.elapsed() });
        }
        thread::sleep(LOOK);
    }
    anyhow::bail!("{most} sockets at most, {} now", sockets_of(dispa)?.saturating_sub(before))
}

/// One attack at a time, or each would be measured by the others.
static TURN: Mutex<()> = Mutex::new(());

/// Attacks `url` with `slowhttptest` and these flags.
fn attack(name: &str, flags: &[&str], url: &str) -> Result<()> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Lab::run(|lab| {
        let (site, elsewhere) = (Site::new(lab)?, Cgroup::new()?);
        let config = Config::new(&[Site::NAME, Site::DOOR])
            .target("zeros", Server::ORIGIN)
            .sections(SECTIONS);
        let _zeros = ZeroServer::start(Server::ORIGIN)?;
        let dispa = site.dispa(&config)?;
        let _peaceful = Dispa::start(lab, &elsewhere, &config.bind(PEACEFUL))?;
        let before = (sockets_of(dispa.id())?, dispa.memory_kib("VmRSS")?);

        let mut slow = site.cgroup.command("slowhttptest");
        let count = ATTACKERS.to_string();
        slow.args(["-c", &count, "-r", "1000", "-l", "25", "-p", "20", "-u", url]).args(flags);
        let slow = Process::start(&mut slow)?;
        let is_over = AtomicBool::new(false);
        let (siege, times) = thread::scope(|scope| {
            let asking = scope.spawn(|| ask_while(|| !is_over.load(Ordering::Relaxed)));
            let siege = watch(dispa.id(), before.0, slow.id());
            is_over.store(true, Ordering::Relaxed);
            (siege, asking.join())
        });
        let Siege { most, held } = siege?;
        let memory = dispa.memory_kib("VmHWM")?.saturating_sub(before.1);
        drop(slow);

        let mut times = times.ok().context("the client panicked")??;
        let mut at = |percent| {
            let attacked = percentile(&mut times.attacked, percent)?;
            anyhow::Ok((attacked, percentile(&mut times.peaceful, percent)?))
        };
        let ((usual, peaceful), (worst, best)) = (at(90)?, at(99)?);
        println!(
            "{name}: {most} sockets more at most, gone {held:.1?} after the last one came; \
             p99 of the requests {worst:.2?}, {best:.2?} in peace, ratio {:.2}; \
             {memory} KiB more at most",
            worst.as_secs_f64() / best.as_secs_f64(),
        );
        ensure!(held <= LONGEST, "{name}: attackers were held for {held:?}");
        // A machine that stands still for a moment while it is attacked makes a bad 99th percentile.
        let bound = 3 * peaceful + Duration::from_millis(5);
        ensure!(usual <= bound, "{name}: p90 {usual:?} under attack, {peaceful:?} in peace");
        Ok(())
    })
}

#[test]
fn slow_headers_at_the_explicit_door() -> Result<()> {
    attack("slow headers, explicit", &["-H", "-i", "3"], "http://door.test:8080/")
}

#[test]
fn slow_headers_at_the_transparent_door() -> Result<()> {
    attack("slow headers, transparent", &["-H", "-i", "3"], "http://example.com/")
}

#[test]
fn slow_bodies() -> Result<()> {
    // Each piece of a body buys more time: an attacker is one who sends none for longer than that.
    attack("slow bodies", &["-B", "-i", "30", "-s", "100000"], "http://door.test:8080/")
}

#[test]
fn slow_reads() -> Result<()> {
    let flags = ["-X", "-n", "5", "-z", "32", "-w", "512", "-y", "1024"];
    attack("slow reads", &flags, "http://door.test:8080/20000000")
}
