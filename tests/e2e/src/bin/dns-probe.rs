//! Asks a resolver again and again, and tells which way each question went.
//!
//! `dns-probe RESOLVER PAUSE_US PATIENCE_MS` asks every `PAUSE_US` microseconds, with a fresh socket
//! and on a thread of its own, until its standard input ends. The resolver must answer with the
//! port that asked it, as the last two bytes of an address. Writes a line for each: when it was
//! begun and ended, in nanoseconds of the monotonic clock, and `direct`, `relayed`, or `-` and the
//! kind of the error.

use std::{
    env,
    io::{self, Read as _},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use dispa_e2e::now_ns;
use dispa_lab::wire::{Message, kind};

fn main() -> Result<()> {
    let [_, resolver, pause_us, patience_ms] = &env::args().collect::<Vec<_>>()[..] else {
        anyhow::bail!("usage: dns-probe RESOLVER PAUSE_US PATIENCE_MS");
    };
    let resolver: SocketAddr = resolver.parse().context("RESOLVER")?;
    let pause = Duration::from_micros(pause_us.parse().context("PAUSE_US")?);
    let patience = Duration::from_millis(patience_ms.parse().context("PATIENCE_MS")?);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // An error is an end as well.
            let _ = io::stdin().read_to_end(&mut Vec::new());
            ended.store(true, Ordering::Relaxed);
        });
        while !ended.load(Ordering::Relaxed) {
            scope.spawn(move || probe(resolver, patience));
            thread::sleep(pause);
        }
        Ok(())
    })
}

fn probe(resolver: SocketAddr, patience: Duration) -> Result<()> {
    let begun_ns = now_ns()?;
    let way = ask(resolver, patience).map_err(|error| error.kind());
    let ended_ns = now_ns()?;
    match way {
        Ok(way) => println!("{begun_ns} {ended_ns} {way}"),
        Err(kind) => println!("{begun_ns} {ended_ns} -{kind:?}"),
    }
    Ok(())
}

fn ask(resolver: SocketAddr, patience: Duration) -> io::Result<&'static str> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(patience))?;
    socket.connect(resolver)?;
    let port = socket.local_addr()?.port();
    socket.send(&Message::query(port, "port.test", kind::A).into_bytes())?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    let seen = answer[..length].last_chunk().copied().map(u16::from_be_bytes);
    Ok(if seen == Some(port) { "direct" } else { "relayed" })
}
