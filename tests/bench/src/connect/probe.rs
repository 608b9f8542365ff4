//! One case's process: connects to `target` over and over, accepts at `listen` itself, and tells
//! how long each step took.

use std::{
    io::{self, BufRead as _, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use socket2::{Domain, SockRef, Socket, Type};

use crate::statistics::quantile;

/// Connections made before they are accepted and closed: well below any accept queue.
const BATCH: usize = 64;

/// The core all probes run on, one at a time.
pub(crate) const CORE: usize = 0;

/// Both ends of a case's connections.
#[derive(Clone, Debug, Args)]
pub(crate) struct Ends {
    /// Where to connect to.
    #[arg(long)]
    pub(crate) target: SocketAddr,
    /// Where those connections arrive.
    #[arg(long)]
    pub(crate) listen: SocketAddr,
}

/// Answers each line on standard input, a number of samples, with four times in ns: `connect()`
/// p50 and p99, round trip p50 and p99.
pub(crate) fn probe(ends: &Ends) -> Result<()> {
    pin(CORE)?;
    let listener = listener(ends.listen)?;
    println!("ready");
    for line in io::stdin().lock().lines() {
        let samples: usize = line?.trim().parse().context("a number of samples")?;
        let mut connects = connect_times(&listener, ends.target, samples)?;
        let mut trips = round_trip_times(&listener, ends.target, samples)?;
        println!(
            "{} {} {} {}",
            quantile(&mut connects, 0.5),
            quantile(&mut connects, 0.99),
            quantile(&mut trips, 0.5),
            quantile(&mut trips, 0.99)
        );
    }
    Ok(())
}

/// This thread to one core.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &cores).context("cannot pin to a core")
}

fn listener(address: SocketAddr) -> Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into()).with_context(|| format!("cannot bind {address}"))?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// Times of `connect()` alone, in ns. The handshake over loopback is done when it returns.
fn connect_times(listener: &TcpListener, target: SocketAddr, samples: usize) -> Result<Vec<f64>> {
    let address = target.into();
    let mut times = Vec::with_capacity(samples);
    while times.len() < samples {
        let mut clients = Vec::with_capacity(BATCH);
        for _ in 0..BATCH {
            let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
            let start = Instant::now();
            socket.connect(&address).with_context(|| format!("cannot connect to {target}"))?;
            times.push(nanoseconds(start.elapsed()));
            clients.push(socket);
        }
        for client in clients {
            let (server, _) = listener.accept()?;
            abort(&client)?;
            drop(client);
            drop(server);
        }
    }
    Ok(times)
}

/// Times of one byte there and back on one connection, both ends in this thread, in ns.
fn round_trip_times(
    listener: &TcpListener,
    target: SocketAddr,
    samples: usize,
) -> Result<Vec<f64>> {
    let mut client = TcpStream::connect(target)?;
    let (mut server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let mut byte = [0_u8; 1];
    let mut times = Vec::with_capacity(samples);
    for _ in 0..samples {
        let start = Instant::now();
        client.write_all(&byte)?;
        server.read_exact(&mut byte)?;
        server.write_all(&byte)?;
        client.read_exact(&mut byte)?;
        times.push(nanoseconds(start.elapsed()));
    }
    if client.peer_addr()? != target {
        bail!("getpeername() says {}, not {target}", client.peer_addr()?);
    }
    abort(&client)?;
    Ok(times)
}

/// Closing will reset: no `TIME_WAIT`, so the ports never run out.
fn abort<'a>(socket: &'a impl std::os::fd::AsFd) -> Result<()> {
    Ok(SockRef::<'a>::from(socket).set_linger(Some(Duration::ZERO))?)
}

fn nanoseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}
