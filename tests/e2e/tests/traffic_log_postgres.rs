//! The traffic log in `PostgreSQL`, which may be away.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{Accounts, Site, Traffic, direct, http1::Client};
use dispa_lab::{Config, Dispa, Lab, Postgres, until};
use nix::sys::signal::Signal;

const SOON: Duration = Duration::from_secs(40);

/// How long the server is away.
const AWAY: Duration = Duration::from_mins(1);

/// How long it hangs: longer than it is waited for.
const HUNG: Duration = Duration::from_secs(10);

/// How long it is there before, and how long requests go on afterwards.
const THERE: Duration = Duration::from_secs(4);

/// Requests that take longer than any should, whatever the log does; others use the machine, too.
const SLOW: Duration = Duration::from_millis(250);

const CLIENTS: usize = 3;

/// Asks, a little slower than it could, until it is over; when each request began and how long it took.
fn ask(name: usize, is_over: &AtomicBool) -> Result<Vec<(Instant, Duration)>> {
    let mut client = Client::connect(Config::EXPLICIT_DOOR)?;
    let mut times = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let began = Instant::now();
        let answer = client.get(Site::NAME, &format!("/{name}/{}", times.len()))?;
        ensure!(answer.status == 200 && answer.whole, "{answer:?}");
        times.push((began, began.elapsed()));
        thread::sleep(Duration::from_millis(2));
    }
    Ok(times)
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default()
}

fn sections(traffic: &Traffic, more: &str) -> String {
    format!(
        "type = \"database\"\nflush_interval_ms = 200\n[logging.database]\nurl = {:?}\nspill_file = \"{}\"\n{more}",
        Postgres::URL,
        traffic.directory().join("spill.jsonl").display()
    )
}

/// When the server went, and when it came back.
struct Absence {
    gone: Instant,
    back: Instant,
}

/// How a server can be away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nobody listens.
    Stopped,
    /// Everybody listens, and nobody answers.
    Hung,
}

/// Takes the server away for a while, with some time before and afterwards.
fn take_away(postgres: &mut Postgres, dispa: &Dispa, kind: Kind) -> Result<Absence> {
    thread::sleep(THERE);
    let gone = Instant::now();
    match kind {
        Kind::Stopped => postgres.stop()?,
        Kind::Hung => postgres.signal_all(Signal::SIGSTOP)?,
    }
    thread::sleep(if kind == Kind::Stopped { AWAY } else { HUNG });
    let accounts = Accounts::now(dispa, "database")?;
    println!("away: {accounts:?}");
    ensure!(accounts.spilled > 100, "{accounts:?}");
    let back = Instant::now();
    match kind {
        Kind::Stopped => postgres.resume()?,
        Kind::Hung => postgres.signal_all(Signal::SIGCONT)?,
    }
    thread::sleep(THERE);
    Ok(Absence { gone, back })
}

/// A fresh table has its rows where they were put, one after the other.
const NOT_IN_ORDER: &str = "SELECT count(*) FROM (
    SELECT split_part(path, '/', 3)::integer < lag(split_part(path, '/', 3)::integer)
        OVER (PARTITION BY split_part(path, '/', 2) ORDER BY ctid) AS wrong FROM traffic
    ) AS it WHERE wrong";

#[test]
fn a_server_that_is_away_costs_no_record_and_no_time() -> Result<()> {
    costs_nothing(Kind::Stopped)
}

#[test]
fn a_server_that_hangs_costs_no_record_and_no_time() -> Result<()> {
    costs_nothing(Kind::Hung)
}

fn costs_nothing(kind: Kind) -> Result<()> {
    Lab::run(|lab| {
        let (site, traffic) = (Site::new(lab)?, Traffic::new(lab, "traffic"));
        let mut postgres = Postgres::start(lab)?;
        let dispa = site.dispa(&Site::config().sections(&sections(&traffic, "")))?;
        let is_over = &AtomicBool::new(false);
        let (times, absence) = thread::scope(|scope| {
            let asking: Vec<_> =
                (0..CLIENTS).map(|name| scope.spawn(move || ask(name, is_over))).collect();
            let absence = take_away(&mut postgres, &dispa, kind);
            is_over.store(true, Ordering::Relaxed);
            let mut times = Vec::new();
            for client in asking {
                times.extend(client.join().ok().context("a panic")??);
            }
            anyhow::Ok((times, absence?))
        })?;
        until(SOON, "what was spilled is loaded", || {
            let accounts = Accounts::now(&dispa, "database").ok()?;
            (accounts.spilled + accounts.queued == 0).then_some(())
        })?;
        let accounts = Accounts::at_the_end(&dispa.stop()?, "database")?;
        let count = times.len() as u64;
        println!("{count} asked: {accounts:?}");
        ensure!(accounts.written == count && accounts.observed == count && accounts.dropped == 0);
        let told = postgres
            .query("SELECT count(*), count(DISTINCT id), count(DISTINCT path) FROM traffic")?;
        ensure!(told == format!("{count}|{count}|{count}"), "{told}");
        ensure!(postgres.query(NOT_IN_ORDER)? == "0");

        let p99 = |fits: &dyn Fn(&Instant) -> bool| {
            let fit = times.iter().filter(|(began, _)| fits(began)).map(|(_, took)| *took);
            percentile(&fit.collect::<Vec<_>>(), 99)
        };
        let there = p99(&|began| *began < absence.gone);
        let away = p99(&|began| (absence.gone..absence.back).contains(began));
        println!("p99: {there:?} while it was there, {away:?} while it was away");
        ensure!(away < SLOW.max(there * 5), "{away:?} after {there:?}");
        Ok(())
    })
}

#[test]
fn it_has_types_of_its_own_and_is_searched() -> Result<()> {
    Lab::run(|lab| {
        let (site, traffic) = (Site::new(lab)?, Traffic::new(lab, "traffic"));
        let postgres = Postgres::start(lab)?;
        let config = Site::config().sections(&sections(&traffic, "max_connections = 2"));
        let dispa = site.dispa(&config)?;
        for path in ["/%00%22'", "/a?token=1", "/b"] {
            site.curl(&["--user-agent", "a\"\u{e9}\\u0000", &format!("http://example.com{path}")])?;
        }
        until(SOON, "they are written", || {
            (Accounts::now(&dispa, "database").ok()?.written == 3).then_some(())
        })?;
        let file = dispa.file().display().to_string();
        let told = postgres.query("SELECT pg_typeof(id), pg_typeof(timestamp), pg_typeof(duration_ms), version FROM traffic, dispa_schema LIMIT 1")?;
        ensure!(told == "uuid|timestamp with time zone|double precision|1", "{told}");
        let logs = |arguments: &[&str]| -> Result<String> {
            direct(Dispa::binary()?, &[&["logs", "-c", &file], arguments].concat())?.success()
        };
        let found = logs(&["--host", "*.com", "--status", "2xx", "--since", "1h"])?;
        println!("{found}");
        ensure!(found.lines().count() == 3 && found.contains("example.com/%00%22'"), "{found}");
        ensure!(logs(&["--json"])? == logs(&["--json", "--no-daemon"])?);
        ensure!(logs(&["--stats"])?.contains("example.com"));
        dispa.stop()?;
        let again = site.dispa(&config)?;
        site.curl(&["http://example.com/again"])?;
        let accounts = Accounts::at_the_end(&again.stop()?, "database")?;
        ensure!(accounts.written == 1, "{accounts:?}");
        ensure!(postgres.query("SELECT count(*) FROM traffic")? == "4");
        Ok(())
    })
}
