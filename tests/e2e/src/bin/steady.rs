//! Asks again and again at a steady pace, and tells how each request went.
//!
//! `steady ADDRESS HOST THREADS PAUSE_MS` asks for `HOST` on so many threads. Each begins a request
//! every `PAUSE_MS` milliseconds, or later if the one before takes longer. Half of the threads keep
//! their connection, the others make a new one each time. A line tells when a request was begun, in
//! nanoseconds since 1970, how many nanoseconds it took, the status, and the body's first line;
//! or 0 for the status, and the error. When the standard input ends it begins no more, and ends
//! with the last one.

use std::{
    env, io,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::http1::{Answer, Client};

fn main() -> Result<()> {
    let [_, address, host, threads, pause_ms] = &env::args().collect::<Vec<_>>()[..] else {
        anyhow::bail!("usage: steady ADDRESS HOST THREADS PAUSE_MS");
    };
    let site = Site { address: address.parse().context("ADDRESS")?, host };
    let threads: u32 = threads.parse().context("THREADS")?;
    let pause = Duration::from_millis(pause_ms.parse().context("PAUSE_MS")?);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Whatever ends the reading ends all.
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            ended.store(true, Ordering::Relaxed);
        });
        for number in 0..threads {
            let first = Instant::now() + pause * number / threads;
            let keeps = number.is_multiple_of(2);
            let (site, ended) = (&site, &ended);
            scope.spawn(move || site.ask_until(ended, first, pause, keeps));
        }
    });
    Ok(())
}

struct Site<'a> {
    address: SocketAddr,
    host: &'a str,
}

impl Site<'_> {
    fn ask_until(&self, ended: &AtomicBool, first: Instant, pause: Duration, keeps: bool) {
        let mut kept = None;
        let mut next = first;
        while !ended.load(Ordering::Relaxed) {
            thread::sleep(next.saturating_duration_since(Instant::now()));
            let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let clock = Instant::now();
            let (status, text) = match self.ask(&mut kept, keeps) {
                Ok(answer) => (answer.status, answer.text()),
                Err(error) => (0, format!("{error:#}")),
            };
            let took = clock.elapsed();
            let text = text.lines().next().unwrap_or_default();
            println!("{} {} {status} {text}", begun.as_nanos(), took.as_nanos());
            next = (next + pause).max(Instant::now());
        }
    }

    fn ask(&self, kept: &mut Option<Client>, keeps: bool) -> Result<Answer> {
        let mut client = match kept.take() {
            Some(client) => client,
            None => Client::connect(self.address)?,
        };
        let answer = client.get(self.host, "/")?;
        ensure!(answer.whole, "cut off: {answer:?}");
        if keeps && !answer.head.list("connection").contains("close") {
            *kept = Some(client);
        }
        Ok(answer)
    }
}
