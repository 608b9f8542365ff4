//! `log`: what the traffic log costs for each request, and whether every request is in it.

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use dispa_lab::{Lab, run as run_command};
use nix::sys::signal::Signal;

use super::{
    account::{cpu_ns, memory_kib},
    peer::{Peer, Running},
    rig::{HOST, Rig},
};
use crate::statistics::median;

/// Longest that a load, and the stop after it, may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// What is measured, and how much.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct LogSize {
    /// Turns of each; the figures are medians over them.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Requests of each turn.
    #[arg(long, default_value_t = 1_000_000)]
    requests: u64,
}

/// Where exchanges are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kept {
    Nowhere,
    Files,
    Both,
}

impl Kept {
    const ALL: [Self; 3] = [Self::Nowhere, Self::Files, Self::Both];

    const fn name(self) -> &'static str {
        match self {
            Self::Nowhere => "no traffic log",
            Self::Files => "files",
            Self::Both => "files and SQLite",
        }
    }

    /// More keys of `[logging]`, the last section.
    fn keys(self, directory: &Path) -> String {
        let kind = match self {
            Self::Nowhere => return String::new(),
            Self::Files => "file",
            Self::Both => "both",
        };
        let directory = directory.display();
        format!(
            "type = \"{kind}\"\n[logging.file]\ndirectory = \"{directory}/logs\"\nrotation = false\n\
             [logging.database]\nurl = \"sqlite://{directory}/traffic.db\"\n\
             spill_file = \"{directory}/spill.jsonl\"\n"
        )
    }
}

/// One turn: µs of processor time for each request, MiB of memory at the end of the load.
#[derive(Clone, Copy, Debug)]
struct Figures {
    cpu: f64,
    memory: f64,
}

/// Measures and prints the table.
pub(crate) fn run(size: LogSize) -> Result<()> {
    let mut figures = BTreeMap::<Kept, Vec<Figures>>::new();
    Lab::run(|lab| {
        let rig = Rig::new(lab)?;
        for round in 0..size.rounds {
            for kept in Kept::ALL {
                let directory = lab.directory().join(format!("traffic-{round}-{}", kept as u8));
                let turn = turn(&rig, kept, &directory, size.requests)?;
                eprintln!("  {}: {turn:?}", kept.name());
                figures.entry(kept).or_default().push(turn);
                if directory.exists() {
                    fs::remove_dir_all(directory)?;
                }
            }
        }
        Ok(())
    })?;
    println!(
        "{} requests a turn, {} turns, each request in the log once",
        size.requests, size.rounds
    );
    let mut without = None;
    for (kept, turns) in figures {
        let of =
            |figure: fn(&Figures) -> f64| median(&mut turns.iter().map(figure).collect::<Vec<_>>());
        let (cpu, memory) = (of(|it| it.cpu), of(|it| it.memory));
        let without = *without.get_or_insert(cpu);
        let more = (cpu / without - 1.0) * 100.0;
        println!("{:<18} {cpu:>7.2} µs CPU/request ({more:+.1} %), {memory:.1} MiB", kept.name());
    }
    Ok(())
}

fn turn(rig: &Rig<'_>, kept: Kept, directory: &Path, requests: u64) -> Result<Figures> {
    let running = Peer::Dispa.start_with(rig, &kept.keys(directory))?;
    let process = running.process.id();
    let before = cpu_ns(process)?;
    load(rig, requests)?;
    let memory = memory_kib(process)? / 1024.0;
    let Running { process: daemon, .. } = running;
    // What still waits is written before the account is closed.
    std::thread::sleep(Duration::from_secs(2));
    #[expect(clippy::cast_precision_loss, reason = "some millions")]
    let cpu = (cpu_ns(process)? - before) / 1e3 / requests as f64;
    daemon.signal(Signal::SIGTERM)?;
    daemon.finish(PATIENCE)?.success()?;
    // The one that found out that it answers is there as well.
    let expected = requests + 1;
    if kept != Kept::Nowhere {
        let lines = lines(&directory.join("logs"))?;
        ensure!(lines == expected, "{lines} lines for {expected} requests");
    }
    if kept == Kept::Both {
        let rows = rows(&directory.join("traffic.db"))?;
        ensure!(rows == expected, "{rows} rows for {expected} requests");
    }
    Ok(Figures { cpu, memory })
}

/// Exactly so many requests over 64 connections.
fn load(rig: &Rig<'_>, requests: u64) -> Result<()> {
    let mut command = rig.load("h2load");
    command.args(["--h1", "-t1", "-c64", "-n", &requests.to_string()]);
    command
        .arg(format!("--header=:authority: {HOST}"))
        .arg(format!("http://{}/", Peer::Dispa.http()));
    let said = run_command(&mut command, PATIENCE)?.success()?;
    let all_are_good = said.contains(&format!(" {requests} succeeded"));
    ensure!(all_are_good, "not every answer was good:\n{said}");
    Ok(())
}

fn lines(directory: &Path) -> Result<u64> {
    let mut count = 0;
    for entry in fs::read_dir(directory)? {
        let text = fs::read(entry?.path())?;
        count += text.split(|byte| *byte == b'\n').count() as u64 - 1;
    }
    Ok(count)
}

fn rows(database: &Path) -> Result<u64> {
    let script = "import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM traffic').fetchone()[0])";
    let mut command = Command::new("python3");
    let said = run_command(command.args(["-c", script]).arg(database), PATIENCE)?.success()?;
    said.trim().parse().context("a number")
}
