//! Measures a resolver's answers, one question at a time.
//!
//! `dns-latency RESOLVER COUNT fresh|kept NAME` asks for the address of `NAME`, each time with a
//! fresh socket, as programs do, or always with the same. Writes the median and the 99th percentile
//! of the times, in nanoseconds.

use std::{
    env, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use dispa_lab::wire::{Message, kind};

/// An answer that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let [_, resolver, count, sockets, name] = &env::args().collect::<Vec<_>>()[..] else {
        anyhow::bail!("usage: dns-latency RESOLVER COUNT fresh|kept NAME");
    };
    let resolver: SocketAddr = resolver.parse().context("RESOLVER")?;
    let count: u16 = count.parse().context("COUNT")?;
    let kept = (sockets == "kept").then(|| connect(resolver)).transpose()?;
    let mut times = Vec::new();
    for id in 0..count {
        let question = Message::query(id, name, kind::A).into_bytes();
        let begun = Instant::now();
        let fresh = if kept.is_none() { Some(connect(resolver)?) } else { None };
        let socket = kept.as_ref().or(fresh.as_ref()).context("no socket")?;
        socket.send(&question)?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer).context("the answer")?;
        times.push(begun.elapsed().as_nanos());
        ensure!(length > 12 && answer[..2] == question[..2], "another answer than awaited");
    }
    times.sort_unstable();
    let last = times.len().checked_sub(1).context("COUNT is 0")?;
    println!("{} {}", times[last / 2], times[last * 99 / 100]);
    Ok(())
}

fn connect(resolver: SocketAddr) -> io::Result<UdpSocket> {
    let socket = match resolver {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?,
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?,
    };
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(resolver)?;
    Ok(socket)
}
