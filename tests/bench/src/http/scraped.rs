//! `scrape`: whether requests take longer while the metrics are scraped.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use dispa_lab::Lab;

use super::{
    paced::{self, Line, Pace},
    peer::Peer,
    rig::{HOST, Rig},
};
use crate::statistics::{median, quantile};

/// How much is measured.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ScrapeSize {
    /// Turns of each; the figures are medians over them.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Seconds of each turn.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Requests a second, which the daemon has to be able to answer with ease.
    #[arg(long, default_value_t = 2000)]
    rate: u32,
    /// Connections that they come by.
    #[arg(long, default_value_t = 16)]
    connections: u32,
    /// Hosts that are asked for before: there is as much to tell as there can be.
    #[arg(long, default_value_t = 100_000)]
    hosts: u32,
}

/// Where metrics are.
const METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// Scrapes a second: none, what is usual at most, and five times that.
const SCRAPES: [u32; 3] = [0, 1, 5];

/// One turn: µs.
#[derive(Clone, Copy, Debug)]
struct Turn {
    p50: f64,
    p99: f64,
}

type Figure = fn(&Turn) -> f64;

/// Measures and prints the table.
pub(crate) fn run_scrape(size: ScrapeSize) -> Result<()> {
    let mut turns = BTreeMap::<u32, Vec<Turn>>::new();
    let (mut took, mut length) = (Vec::new(), 0);
    Lab::run(|lab| {
        let rig = Rig::new(lab)?;
        let _dispa = Peer::Dispa.start(&rig)?;
        ask_for_hosts(size.hosts)?;
        // The first turn of all warms up, and does not count.
        turn(size, 0)?;
        for round in 0..size.rounds {
            for number in 0..SCRAPES.len() {
                let rate = SCRAPES[(round + number) % SCRAPES.len()];
                let (turn, answers) = turn(size, rate)?;
                turns.entry(rate).or_default().push(turn);
                took.extend(answers.iter().map(|it| it.0));
                length = answers.first().map_or(length, |it| it.1);
            }
            eprintln!("  round {} done", round + 1);
        }
        Ok(())
    })?;
    print(size, &turns);
    let [p50, p99] = [0.5, 0.99].map(|share| quantile(&mut took, share) / 1e3);
    println!("a scrape: {p50:.2} ms, p99 {p99:.2} ms, {length} bytes ({} of them)", took.len());
    Ok(())
}

/// None of them is known here: each is told so, and counted.
fn ask_for_hosts(count: u32) -> Result<()> {
    let mut line = Line::to(Peer::Dispa.http())?;
    for number in 0..count {
        let host = format!("h{number}.elsewhere.test");
        let answer = line.ask(&host, "/").or_else(|_| {
            line = Line::to(Peer::Dispa.http())?;
            line.ask(&host, "/")
        });
        let (status, _) = answer?;
        ensure!(status.contains(" 404 "), "{status}");
    }
    Ok(())
}

/// One turn, and what each scrape took (µs) and told (bytes).
fn turn(size: ScrapeSize, rate: u32) -> Result<(Turn, Vec<(f64, usize)>)> {
    let lasts = Duration::from_secs(size.seconds);
    thread::scope(|scope| {
        let watcher = scope.spawn(move || scrape(rate, lasts));
        let door = Peer::Dispa.http();
        let mut latencies = paced::load(door, HOST, size.connections, size.rate, lasts)?;
        let [p50, p99] = [0.5, 0.99].map(|share| quantile(&mut latencies, share));
        let answers = watcher.join().map_err(|_| anyhow::anyhow!("a panic"))??;
        Ok((Turn { p50, p99 }, answers))
    })
}

fn scrape(rate: u32, lasts: Duration) -> Result<Vec<(f64, usize)>> {
    let Some(every) = Duration::from_secs(1).checked_div(rate) else { return Ok(Vec::new()) };
    paced::pin_to_load()?;
    let mut scraped = Vec::new();
    let begin = Instant::now() + every / 2;
    Pace { begin, every, end: begin + lasts }.keep(|_| {
        let asked = Instant::now();
        // It is closed with each answer.
        let (status, length) =
            Line::to(METRICS)?.ask("localhost:9090", "/metrics").context("a scrape")?;
        ensure!(status == "HTTP/1.1 200 OK", "{status}");
        scraped.push((asked.elapsed().as_secs_f64() * 1e6, length));
        Ok(())
    })?;
    Ok(scraped)
}

fn print(size: ScrapeSize, turns: &BTreeMap<u32, Vec<Turn>>) {
    println!(
        "{} requests a second, {} turns of {} s, after {} hosts",
        size.rate, size.rounds, size.seconds, size.hosts
    );
    let of = |scrapes: u32, figure: Figure| -> Vec<f64> {
        turns.get(&scrapes).into_iter().flatten().map(figure).collect()
    };
    let figures: [Figure; 2] = [|it| it.p50, |it| it.p99];
    for (name, figure) in ["p50", "p99"].into_iter().zip(figures) {
        let without = median(&mut of(0, figure));
        for scrapes in SCRAPES {
            let value = median(&mut of(scrapes, figure));
            let ratio = value / without;
            println!(
                "{name} with {scrapes} scrapes a second: {value:>7.0} µs, {ratio:.3} of that without"
            );
        }
        // What the same comes to in another turn, when nobody scrapes.
        let mut alone = of(0, figure);
        let [low, high] = [0.25, 0.75].map(|share| quantile(&mut alone, share) / without);
        let [least, most] = [0.0, 1.0].map(|share| quantile(&mut alone, share) / without);
        println!(
            "{name} of the turns without: half of them within {low:.3} to {high:.3}, all within {least:.3} to {most:.3}"
        );
    }
}
