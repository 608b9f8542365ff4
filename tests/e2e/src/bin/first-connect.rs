//! Resolves names and connects to each at once, as programs do; tells who answered.
//!
//! `first-connect FILE THREADS EXPECTED` reads one name a line and takes each once. Writes, besides
//! what went wrong, one line: how many were answered as expected, by somebody else, and not at all.

use std::{
    env, fs,
    io::{self, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

/// A server that takes longer than this is as good as none.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct Tally {
    served: usize,
    missed: usize,
    failed: usize,
    resolved: Vec<Duration>,
}

fn main() -> Result<()> {
    let [_, file, threads, expected] = &env::args().collect::<Vec<_>>()[..] else {
        anyhow::bail!("usage: first-connect FILE THREADS EXPECTED");
    };
    let text = fs::read_to_string(file).context("FILE")?;
    let names: Vec<&str> = text.lines().collect();
    let threads: usize = threads.parse().context("THREADS")?;
    let next = AtomicUsize::new(0);
    let mut sum = Tally::default();
    thread::scope(|scope| {
        let work = || share(&names, &next, expected);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            let share = thread.join().unwrap_or_default();
            sum.served += share.served;
            sum.missed += share.missed;
            sum.failed += share.failed;
            sum.resolved.extend(share.resolved);
        }
    });
    sum.resolved.sort();
    let Tally { served, missed, failed, resolved } = sum;
    let half = resolved.get(resolved.len() / 2).copied().unwrap_or_default();
    eprintln!("resolved in {half:?} (p50)");
    println!("names={} served={served} missed={missed} failed={failed}", names.len());
    Ok(())
}

/// What one thread does.
fn share(names: &[&str], next: &AtomicUsize, expected: &str) -> Tally {
    let mut tally = Tally::default();
    while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
        match ask(name, &mut tally.resolved) {
            Ok(who) if who == expected => tally.served += 1,
            Ok(who) => {
                tally.missed += 1;
                eprintln!("{name}: answered by {who}");
            }
            Err(error) => {
                tally.failed += 1;
                eprintln!("{name}: {error}");
            }
        }
    }
    tally
}

fn ask(name: &str, resolved: &mut Vec<Duration>) -> io::Result<String> {
    let begun = Instant::now();
    let addresses: Vec<_> = (name, 80).to_socket_addrs()?.collect();
    resolved.push(begun.elapsed());
    let mut stream = TcpStream::connect(&addresses[..])?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET / HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.trim_end().to_owned());
    body.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
