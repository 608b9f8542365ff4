//! `metrics`: what is counted for an exchange costs the worker that ends it, alone and beside others.

use std::{
    hint::black_box,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, SystemTime},
};

use anyhow::{Result, ensure};
use clap::Args;
use dispa_user::{
    exchange::{Exchange, Protocol, new_id},
    metrics::{Latency, Metrics},
    rules::Pattern,
    types::{Door, Outcome},
};
use http::StatusCode;
use nix::time::{ClockId, clock_gettime};

use crate::statistics::median;

/// How much is measured.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Size {
    /// Exchanges of one turn, of each thread.
    #[arg(long, default_value_t = 200_000)]
    exchanges: u32,
    /// Turns of every row; the figures are medians over them.
    #[arg(long, default_value_t = 21)]
    rounds: usize,
    /// Rules that the exchanges are of, one after the other.
    #[arg(long, default_value_t = 20)]
    rules: usize,
}

/// The most that all of it may cost, in nanoseconds of processor time.
const LIMIT: f64 = 300.0;

/// What is shared by all workers, and what is told to it.
#[derive(Debug)]
struct Stage {
    metrics: Metrics,
    /// Of a target.
    latency: Latency,
    exchanges: Vec<Exchange>,
}

/// Measures and prints the table; fails where it costs too much.
pub(crate) fn run(size: Size) -> Result<()> {
    let exchanges: Result<_> = (0..size.rules.max(1)).map(exchange).collect();
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let (metrics, latency) = (Metrics::for_workers(processors), Latency::default());
    let stage = Arc::new(Stage { metrics, latency, exchanges: exchanges? });
    let (mut nothing, mut alone, mut together) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..size.rounds {
        nothing.push(each(&stage, 1, size.exchanges, false)?);
        alone.push(each(&stage, 1, size.exchanges, true)?);
        together.push(each(&stage, processors, size.exchanges, true)?);
    }
    let nothing = median(&mut nothing);
    let (alone, together) = (median(&mut alone) - nothing, median(&mut together) - nothing);
    println!(
        "Medians of {} rounds, {} exchanges of {} rules by each thread; ns an exchange, less the loop itself \
         ({nothing:.0} ns).\n\n| threads | ns |\n|---|---|\n| 1 | {alone:.0} |\n| {processors} | {together:.0} |",
        size.rounds, size.exchanges, size.rules
    );
    ensure!(alone <= LIMIT && together <= LIMIT, "more than {LIMIT} ns an exchange");
    Ok(())
}

/// One that was served well.
fn exchange(number: usize) -> Result<Exchange> {
    let began = SystemTime::now();
    Ok(Exchange {
        id: new_id(began),
        began,
        duration: Duration::from_micros(150),
        first_byte: Some(Duration::from_micros(120)),
        door: Door::Transparent,
        client: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        origin: None,
        process: None,
        protocol: Protocol::Http1,
        host: None,
        method: None,
        path: None,
        rule: Some(Pattern::parse(&format!("*.site-{number}.example.com"))?),
        target: Some("backend".into()),
        attempts: 1,
        status: Some(StatusCode::OK),
        request_bytes: 0,
        response_bytes: 1_024,
        headers: Vec::new(),
        fault: None,
        outcome: Outcome::Ok,
    })
}

/// Of this thread: others on the machine are left out.
fn processor_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// The processor time of one exchange in nanoseconds, of so many threads at once; the slowest of them counts.
fn each(stage: &Arc<Stage>, threads: usize, exchanges: u32, counted: bool) -> Result<f64> {
    let start = Arc::new(Barrier::new(threads));
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let (stage, start) = (Arc::clone(stage), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                let begun = processor_time()?;
                for exchange in stage.exchanges.iter().cycle().take(exchanges as usize) {
                    let exchange = black_box(exchange);
                    if counted {
                        drop(black_box(stage.metrics.connection(exchange.door)));
                        stage.metrics.exchange(exchange);
                        stage.latency.observe(exchange.duration);
                    }
                }
                let taken = processor_time()?.saturating_sub(begun);
                anyhow::Ok(taken.as_secs_f64() * 1e9 / f64::from(exchanges))
            })
        })
        .collect();
    let mut slowest: f64 = 0.0;
    for worker in workers {
        let taken = worker.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        slowest = slowest.max(taken);
    }
    Ok(slowest)
}
