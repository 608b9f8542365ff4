//! Connects again and again, and tells who answered each time.
//!
//! `probe ADDRESS HOST PAUSE_US` begins a connection every `PAUSE_US` microseconds, each on a
//! thread of its own, asks for `HOST`, and writes a line: when it was begun, in nanoseconds of the
//! monotonic clock, and the first line of the body, or `-` and the kind of the error. When its
//! standard input ends it begins no more, and ends with the last one.

use std::{
    env,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use dispa_e2e::now_ns;

/// How long one try may take; the next ones do not wait for it.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let [_, address, host, pause_us] = &env::args().collect::<Vec<_>>()[..] else {
        anyhow::bail!("usage: probe ADDRESS HOST PAUSE_US");
    };
    let address: SocketAddr = address.parse().context("ADDRESS")?;
    let pause = Duration::from_micros(pause_us.parse().context("PAUSE_US")?);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Whatever ends the reading ends the probe.
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            ended.store(true, Ordering::Relaxed);
        });
        while !ended.load(Ordering::Relaxed) {
            let begun_ns = now_ns()?;
            scope.spawn(move || tell(begun_ns, address, host));
            thread::sleep(pause);
        }
        Ok(())
    })
}

fn tell(begun_ns: u64, address: SocketAddr, host: &str) {
    let who = ask(address, host).unwrap_or_else(|error| format!("-{:?}", error.kind()));
    println!("{begun_ns} {who}");
}

fn ask(address: SocketAddr, host: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.trim_end().to_owned());
    body.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
