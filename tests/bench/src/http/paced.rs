//! A load at a fixed rate, whose requests are sent when they are due, whether or not earlier ones were
//! answered in time: a latency counts from when its request was due, so that a pause of the server's shows
//! in all that should have been sent meanwhile.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::prctl::set_timerslack;

use super::rig::OTHER_CORE;
use crate::connect::pin;

/// Longest that one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A kept connection.
#[derive(Debug)]
pub(super) struct Line {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Line {
    pub(super) fn to(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, heard: Vec::new() })
    }

    /// Asks, and returns the answer's status line and length.
    pub(super) fn ask(&mut self, host: &str, path: &str) -> Result<(String, usize)> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        self.stream.write_all(request.as_bytes())?;
        self.heard.clear();
        let head = loop {
            self.hear()?;
            if let Some(at) = self.heard.windows(4).position(|it| it == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let text = str::from_utf8(self.heard.get(..head).context("a head")?)?.to_owned();
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        let length: usize = length.context("no Content-Length")?;
        while self.heard.len() < head + length {
            self.hear()?;
        }
        Ok((text.lines().next().unwrap_or_default().to_owned(), length))
    }

    fn hear(&mut self) -> Result<()> {
        let mut piece = [0; 16 * 1024];
        let length = self.stream.read(&mut piece)?;
        ensure!(length > 0, "the connection was closed");
        self.heard.extend_from_slice(&piece[..length]);
        Ok(())
    }
}

/// When something is due, again and again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) begin: Instant,
    pub(super) every: Duration,
    pub(super) end: Instant,
}

impl Pace {
    /// Does it each time, with when it was due.
    pub(super) fn keep(self, mut work: impl FnMut(Instant) -> Result<()>) -> Result<()> {
        // Without it Linux lets sleepers wait for one another, up to 50 µs.
        set_timerslack(1)?;
        let mut due = self.begin;
        while due < self.end {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            work(due)?;
            due += self.every;
        }
        Ok(())
    }
}

/// Moves this thread to where all but the proxy runs.
pub(super) fn pin_to_load() -> Result<()> {
    pin(OTHER_CORE.parse()?)
}

/// Latencies, in µs, of `rate` requests a second for `host` over `lines` connections.
pub(super) fn load(
    address: SocketAddr,
    host: &str,
    lines: u32,
    rate: u32,
    lasts: Duration,
) -> Result<Vec<f64>> {
    let begin = Instant::now() + Duration::from_millis(50);
    thread::scope(|scope| {
        let threads = (0..lines).map(|number| {
            // Evenly spread over the time between two requests of one of them.
            let every = Duration::from_secs(1) * lines / rate;
            let pace = Pace { begin: begin + every * number / lines, every, end: begin + lasts };
            scope.spawn(move || {
                pin_to_load()?;
                let mut line = Line::to(address)?;
                let mut latencies = Vec::new();
                pace.keep(|due| {
                    let (status, _) = line.ask(host, "/")?;
                    latencies.push(due.elapsed().as_secs_f64() * 1e6);
                    ensure!(status == "HTTP/1.1 200 OK", "{status}");
                    Ok(())
                })?;
                anyhow::Ok(latencies)
            })
        });
        let threads: Vec<_> = threads.collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| anyhow::anyhow!("a panic"))??);
        }
        Ok(all)
    })
}
