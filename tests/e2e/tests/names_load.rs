//! The relay under load, what it costs, and what becomes of questions when the daemon is killed
//! or stopped.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::now_ns;
use dispa_lab::{
    Asking, Lab, Process, Resolver, Responder, Wild, run,
    wire::{Asked, Message},
};
use nix::sys::signal::Signal;

const SOON: Duration = Duration::from_secs(30);

/// Longer than a load runs.
const LOAD_TIMEOUT: Duration = Duration::from_mins(1);

/// Where the second resolver of a test is.
const UNBOUND: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 54));

/// The bound a user can rely on; the median printed is far below it.
const MOST_LATENCY_NS: i64 = 1_000_000;

/// The longest a question may go nowhere while the daemon hangs.
const LONGEST_GAP: Duration = Duration::from_millis(2500);

#[test]
fn no_answer_is_lost_under_the_load_of_dnsperf() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        let (mut hosts, mut records, mut questions) = (String::new(), Vec::new(), String::new());
        for number in 0..2000 {
            writeln!(hosts, "{} n{number}.wild.test n{number}.other.test", Wild::v4(number))?;
            for zone in ["wild", "other"] {
                records.push(format!("n{number}.{zone}.test. 60 IN A {}", Wild::v4(number)));
            }
            for (zone, kind) in [("wild", "A"), ("wild", "AAAA"), ("other", "A"), ("none", "MX")] {
                writeln!(questions, "n{number}.{zone}.test {kind}")?;
            }
        }
        let _dnsmasq = Resolver::dnsmasq(lab, &[Lab::RESOLVER], &hosts, "")?;
        // dnsmasq ends a TCP connection after a hundred questions, whatever is under way on it.
        lab.address(UNBOUND)?;
        let _unbound = Resolver::unbound(lab, &[UNBOUND], "test", records)?;
        let file = lab.file("questions", &questions)?.display().to_string();
        let dispa = wild.dispa()?;
        for (protocol, resolver) in [("udp", Lab::RESOLVER), ("udp", UNBOUND), ("tcp", UNBOUND)] {
            let resolver = resolver.to_string();
            let mut load = wild.cgroup.command("dnsperf");
            load.args(["-s", &resolver, "-d", &file, "-m", protocol]);
            load.args(["-c", "10", "-T", "1", "-q", "50", "-Q", "3000", "-l", "6", "-t", "5"]);
            let report = run(&mut load, LOAD_TIMEOUT)?.success()?;
            for line in report.lines().filter(|line| line.contains(':')) {
                println!("{protocol} {}", line.trim());
            }
            let lost = report.lines().find(|line| line.contains("Queries lost:"));
            assert!(lost.is_some_and(|line| line.contains(" 0 (0.00%)")), "{report}");
            let sent = report.lines().find(|line| line.contains("Queries sent:"));
            let sent = sent.and_then(|line| line.split_whitespace().last()?.parse().ok());
            assert!(sent > Some(5000), "{report}");
        }
        let stopped = dispa.stop()?.summary;
        println!("{stopped:?}");
        Ok(())
    })
}

/// Answers every question with one address.
fn one_address(asking: &Asking) {
    if let Some(asked) = Asked::read(&asking.message) {
        let answer = Message::answer(&asking.message, &asked).address(Wild::v4(1), 60);
        asking.reply(&answer.into_bytes());
    }
}

/// The median and the 99th percentile, in nanoseconds.
fn latency(command: &mut Command, sockets: &str, name: &str) -> Result<[i64; 2]> {
    let resolver = SocketAddr::new(Lab::RESOLVER, 53).to_string();
    let figures = run(command.args([&resolver, "1000", sockets, name]), SOON)?.success()?;
    let (half, most) = figures.split_once(' ').context("two figures")?;
    Ok([half.parse()?, most.parse()?])
}

#[test]
fn an_answer_comes_little_later_than_without_dispa() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        let _responder = Responder::start(&[SocketAddr::new(Lab::RESOLVER, 53)], one_address)?;
        let _dispa = wild.dispa()?;
        let program = env!("CARGO_BIN_EXE_dns-latency");
        for (sockets, name) in
            [("fresh", "a.wild.test"), ("fresh", "a.other.test"), ("kept", "a.wild.test")]
        {
            let (mut direct, mut relayed) = (Vec::new(), Vec::new());
            for _ in 0..9 {
                direct.push(latency(&mut Command::new(program), sockets, name)?);
                relayed.push(latency(&mut wild.cgroup.command(program), sockets, name)?);
            }
            let (direct, relayed) = (middle(direct), middle(relayed));
            let added = relayed[0] - direct[0];
            println!(
                "{sockets} sockets, {name}: p50 {} us direct, {} us relayed, {} us added; \
                 p99 {} us direct, {} us relayed",
                direct[0] / 1000,
                relayed[0] / 1000,
                added / 1000,
                direct[1] / 1000,
                relayed[1] / 1000,
            );
            ensure!(added < MOST_LATENCY_NS, "{added} ns added");
        }
        Ok(())
    })
}

/// Of an odd number of rounds the one in the middle.
fn middle(mut rounds: Vec<[i64; 2]>) -> [i64; 2] {
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}

/// Tells whoever asks from which port the question came.
fn tell_port(asking: &Asking) {
    if let Some(asked) = Asked::read(&asking.message) {
        let [high, low] = asking.peer.port().to_be_bytes();
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, high, low));
        asking.reply(&Message::answer(&asking.message, &asked).address(address, 1).into_bytes());
    }
}

/// A thread of the asker may be kept waiting between the look at the clock and the question, on a
/// machine busy with other tests.
const SLACK_NS: u64 = 100_000_000;

/// What became of a question.
#[derive(Clone, Debug)]
struct Fate {
    begun_ns: u64,
    ended_ns: u64,
    way: String,
}

impl Fate {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        Some(Self {
            begun_ns: words.next()?.parse().ok()?,
            ended_ns: words.next()?.parse().ok()?,
            way: words.next()?.to_owned(),
        })
    }

    fn is_lost(&self) -> bool {
        self.way.starts_with('-')
    }
}

/// A running `dns-probe`, which asks every millisecond.
struct Asker(Process);

impl Asker {
    fn start(wild: &Wild<'_>) -> Result<Self> {
        let resolver = SocketAddr::new(Lab::RESOLVER, 53).to_string();
        let mut command = wild.cgroup.command(env!("CARGO_BIN_EXE_dns-probe"));
        Ok(Self(Process::start(command.args([&resolver, "1000", "400"]))?))
    }

    /// The first question that went this way, begun no sooner than `since_ns`.
    fn first(&self, way: &str, since_ns: u64) -> Result<Fate> {
        let fits = |text: &str| {
            Fate::read(text).filter(|fate| fate.begun_ns >= since_ns && fate.way == way)
        };
        let line = self.0.wait_for_line(SOON, |line| fits(&line.text).is_some())?;
        fits(&line.text).context("the line awaited is one")
    }

    /// Asks no more; all the questions in the order of their beginning.
    fn end(self) -> Result<Vec<Fate>> {
        let output = self.0.finish(SOON)?.success()?;
        let mut fates: Vec<_> = output.lines().filter_map(Fate::read).collect();
        fates.sort_by_key(|fate| fate.begun_ns);
        Ok(fates)
    }
}

fn since(from_ns: u64, fate: &Fate) -> Duration {
    Duration::from_nanos(fate.begun_ns.saturating_sub(from_ns))
}

#[test]
fn after_kill_9_the_next_questions_are_answered_directly() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        let _responder = Responder::start(&[SocketAddr::new(Lab::RESOLVER, 53)], tell_port)?;
        let dispa = wild.dispa()?;
        let asker = Asker::start(&wild)?;
        let first = asker.first("relayed", 0)?;
        asker.first("relayed", first.begun_ns + 500_000_000)?;

        let killed_ns = now_ns()?;
        dispa.kill()?;
        let direct = asker.first("direct", killed_ns)?;
        asker.first("direct", direct.begun_ns + 500_000_000)?;
        let fates = asker.end()?;
        let lost: Vec<_> = fates.iter().filter(|fate| fate.is_lost()).collect();
        println!(
            "{} questions, {} lost, begun at {:?} us; direct {:?} after kill -9",
            fates.len(),
            lost.len(),
            lost.iter()
                .map(|fate| (i128::from(fate.begun_ns) - i128::from(killed_ns)) / 1000)
                .collect::<Vec<_>>(),
            since(killed_ns, &direct)
        );
        ensure!(since(killed_ns, &direct) < LONGEST_GAP, "direct only at {direct:?}");
        for fate in &fates {
            let before = fate.ended_ns < killed_ns;
            let after = fate.begun_ns > direct.begun_ns + SLACK_NS;
            ensure!(!before || fate.way == "relayed", "{fate:?} before the kill");
            ensure!(!after || fate.way == "direct", "{fate:?} after {direct:?}");
        }
        Ok(())
    })
}

#[test]
fn while_the_daemon_is_stopped_questions_are_answered_directly_and_afterwards_relayed() -> Result<()>
{
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        let _responder = Responder::start(&[SocketAddr::new(Lab::RESOLVER, 53)], tell_port)?;
        let dispa = wild.dispa()?;
        let asker = Asker::start(&wild)?;
        let first = asker.first("relayed", 0)?;
        asker.first("relayed", first.begun_ns + 500_000_000)?;

        let frozen_ns = now_ns()?;
        dispa.signal(Signal::SIGSTOP)?;
        let direct = asker.first("direct", frozen_ns)?;
        asker.first("direct", direct.begun_ns + 1_000_000_000)?;
        let thawed_ns = now_ns()?;
        dispa.signal(Signal::SIGCONT)?;
        let back = asker.first("relayed", thawed_ns)?;
        asker.first("relayed", back.begun_ns + 500_000_000)?;
        let fates = asker.end()?;
        let lost = fates.iter().filter(|fate| fate.is_lost()).count();
        println!(
            "{} questions, {lost} lost; direct {:?} after SIGSTOP, relayed {:?} after SIGCONT",
            fates.len(),
            since(frozen_ns, &direct),
            since(thawed_ns, &back)
        );
        ensure!(since(frozen_ns, &direct) < LONGEST_GAP && since(thawed_ns, &back) < LONGEST_GAP);
        let direct_ns = direct.begun_ns + SLACK_NS;
        for fate in &fates {
            let is_while_direct = fate.begun_ns > direct_ns && fate.ended_ns < thawed_ns;
            ensure!(!is_while_direct || fate.way == "direct", "{fate:?} after {direct:?}");
            let is_by_hang = fate.ended_ns > frozen_ns && fate.begun_ns < direct_ns;
            ensure!(!fate.is_lost() || is_by_hang, "{fate:?}, {:?} late", since(frozen_ns, fate));
        }
        dispa.stop().map(drop)
    })
}
