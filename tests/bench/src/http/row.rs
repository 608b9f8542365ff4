//! What is measured.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use super::{
    account::{cpu_ns, memory_kib},
    load::{Load, h2load, wrk},
    peer::{Peer, Running},
    rig::{BULK_BYTES, HOST, OTHER_HOST, Rig},
};

/// Connections that are kept idle; twice as many descriptors are open, here and in the proxy, if it
/// keeps its own.
const IDLE: u16 = 9_000;

/// After which nothing moves any more in a proxy that has nothing to do.
const REST: Duration = Duration::from_secs(3);

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Row {
    /// HTTP/1.1, 64 connections kept, 16 bytes.
    KeepAlive,
    /// The same, a connection for each request.
    New,
    /// Bodies of 10 MiB.
    Bulk,
    /// One connection, everything on one core.
    Latency,
    /// HTTP/2 without TLS, 8 connections of 16 streams.
    Http2,
    /// 10 MiB at a time, unread.
    Relay,
    /// Idle connections.
    Idle,
    /// From the start to the first answer, and the memory then.
    Start,
}

/// One figure of one turn.
pub(super) type Figure = (&'static str, f64);

impl Row {
    pub(super) const ALL: [Self; 8] = [
        Self::KeepAlive,
        Self::New,
        Self::Bulk,
        Self::Latency,
        Self::Http2,
        Self::Relay,
        Self::Idle,
        Self::Start,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::KeepAlive => "HTTP/1.1 keep-alive, 64 connections, 16 B",
            Self::New => "new connection per request",
            Self::Bulk => "10 MiB bodies",
            Self::Latency => "one connection, all on one core",
            Self::Http2 => "h2c, 8 connections of 16 streams",
            Self::Relay => "TCP relay",
            Self::Idle => "9,000 idle keep-alive connections",
            Self::Start => "start",
        }
    }

    /// A turn of one proxy, freshly started.
    pub(super) fn measure(self, rig: &Rig<'_>, peer: Peer, seconds: u64) -> Result<Vec<Figure>> {
        let running = peer.start(rig).with_context(|| peer.name())?;
        let turn = Turn { rig, running: &running, seconds };
        match self {
            Self::KeepAlive => turn.requests(peer.http(), &["-c64"]),
            Self::New => turn.requests(peer.http(), &["-c64", "-H", "Connection: close"]),
            Self::Bulk => turn.bulk(peer.http(), HOST),
            Self::Relay => turn.bulk(peer.relay(), OTHER_HOST),
            Self::Latency => turn.latency(peer.http()),
            Self::Http2 => turn.http2(peer.http2()),
            Self::Idle => turn.idle(peer.http()),
            Self::Start => turn.start(),
        }
    }
}

struct Turn<'a> {
    rig: &'a Rig<'a>,
    running: &'a Running,
    seconds: u64,
}

impl Turn<'_> {
    /// The load, and the processor time of the proxy for each of its operations, ns.
    fn cost(&self, load: impl Fn(u64) -> Result<Load>) -> Result<(Load, f64)> {
        // Connections, caches and branches are warm when it counts.
        load(1)?;
        let before = cpu_ns(self.running.process.id())?;
        let done = load(self.seconds)?;
        Ok((done, (cpu_ns(self.running.process.id())? - before) / done.operations))
    }

    fn wrk(&self, seconds: u64, url: &str, host: &str, arguments: &[&str]) -> Result<Load> {
        let mut command = self.rig.load("wrk");
        command.args(arguments).args(["-H", &format!("Host: {host}"), url]);
        wrk(&mut command, seconds)
    }

    fn requests(&self, door: SocketAddr, arguments: &[&str]) -> Result<Vec<Figure>> {
        let url = format!("http://{door}/");
        let (load, ns) = self.cost(|seconds| self.wrk(seconds, &url, HOST, arguments))?;
        Ok(vec![("µs CPU/request", ns / 1e3), ("µs p50", load.p50), ("µs p99", load.p99)])
    }

    fn bulk(&self, door: SocketAddr, host: &str) -> Result<Vec<Figure>> {
        let url = format!("http://{door}/bulk");
        let (_, ns) = self.cost(|seconds| self.wrk(seconds, &url, host, &["-c4"]))?;
        #[expect(clippy::cast_precision_loss, reason = "10 MiB")]
        let share = BULK_BYTES as f64 / GIB;
        Ok(vec![("ms CPU/GiB", ns / 1e6 / share)])
    }

    fn latency(&self, door: SocketAddr) -> Result<Vec<Figure>> {
        let url = format!("http://{door}/");
        let mut command = self.rig.cgroup.command("taskset");
        command.args(["-c", super::rig::PROXY_CORE, "wrk", "-c1"]);
        command.args(["-H", &format!("Host: {HOST}"), &url]);
        let load = wrk(&mut command, self.seconds)?;
        Ok(vec![("µs p50", load.p50), ("µs p99", load.p99)])
    }

    fn http2(&self, door: SocketAddr) -> Result<Vec<Figure>> {
        let (_, ns) = self.cost(|seconds| {
            let mut command = self.rig.load("h2load");
            command.args(["-c8", "-m16", &format!("--header=:authority: {HOST}")]);
            h2load(command.arg(format!("http://{door}/")), seconds)
        })?;
        Ok(vec![("µs CPU/request", ns / 1e3)])
    }

    fn idle(&self, door: SocketAddr) -> Result<Vec<Figure>> {
        let process = self.running.process.id();
        let before = memory_kib(process)?;
        let mut open = Vec::with_capacity(usize::from(IDLE));
        for _ in 0..IDLE {
            open.push(ask(door)?);
        }
        thread::sleep(REST);
        let each = (memory_kib(process)? - before) / f64::from(IDLE);
        drop(open);
        Ok(vec![("KiB each", each)])
    }

    fn start(&self) -> Result<Vec<Figure>> {
        thread::sleep(REST);
        let memory = memory_kib(self.running.process.id())? / 1024.0;
        Ok(vec![("ms", self.running.start.as_secs_f64() * 1e3), ("MiB", memory)])
    }
}

/// A connection that has had one answer.
fn ask(door: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(door)?;
    stream.set_read_timeout(Some(REST))?;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while !answer.ends_with(b"0123456789abcdef") {
        let read = stream.read(&mut piece)?;
        anyhow::ensure!(read > 0, "the answer broke off");
        answer.extend_from_slice(&piece[..read]);
    }
    Ok(stream)
}
