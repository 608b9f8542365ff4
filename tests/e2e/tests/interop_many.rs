//! Many hosts and many connections cost what they must, and no more.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use dispa_e2e::{Site, sockets_of};
use dispa_lab::{Config, Dispa, Lab};

const DOOR: SocketAddr = Config::EXPLICIT_DOOR;

const HOSTS: usize = 100_000;
/// How much the memory may grow with them: an allocator's slack, nothing for each host.
const MOST_FOR_HOSTS_KIB: u64 = 16 * 1024;

/// With two descriptors each they are nearly as many as a process may have on the machines this runs on.
const CONNECTIONS: usize = 9_000;
/// What an idle connection may take at most of the daemon's own memory, in bytes.
const MOST_FOR_CONNECTION: u64 = 32 * 1024;

/// What one answer takes at most, on a machine busy with other tests.
const SOON: Duration = Duration::from_secs(30);

/// A daemon that serves every host below `many.test`, and keeps idle connections for long.
fn dispa(site: &Site<'_>) -> Result<Dispa> {
    let config = Config::new(&["*.many.test"]).target("one", Site::backend(1));
    // Before the other sections of the file.
    Dispa::start_edited(site.lab, &site.cgroup, &config, |text| {
        text.replace(
            "workers = 2\n",
            "workers = 2\nkeep_alive_timeout = 600\nmax_connections = 9200\n",
        )
    })
}

fn connect() -> Result<TcpStream> {
    let stream = TcpStream::connect(DOOR)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SOON))?;
    Ok(stream)
}

/// Asks for these numbers' hosts on one connection.
fn ask(mut stream: &TcpStream, numbers: impl IntoIterator<Item = usize>) -> Result<()> {
    let mut block = [0; 4096];
    for number in numbers {
        let request = format!("GET /{number} HTTP/1.1\r\nhost: host-{number}.many.test\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\none\n") {
            let length = stream.read(&mut block)?;
            answer.extend_from_slice(&block[..length]);
            ensure!(length > 0, "{}", String::from_utf8_lossy(&answer));
        }
    }
    Ok(())
}

/// Asks for all of the numbers' hosts, on four connections at once.
fn ask_at_once(numbers: std::ops::Range<usize>) -> Result<()> {
    thread::scope(|scope| {
        let ask_share = |share: usize| {
            let numbers = numbers.clone().skip(share).step_by(4);
            scope.spawn(move || ask(&connect()?, numbers))
        };
        let asking: Vec<_> = (0..4).map(ask_share).collect();
        for share in asking {
            share.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        Ok(())
    })
}

#[test]
fn a_hundred_thousand_hosts_take_no_memory() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = dispa(&site)?;
        ask_at_once(0..5000)?;
        let (before, begun) = (dispa.memory_kib("VmRSS")?, Instant::now());
        ask_at_once(5000..5000 + HOSTS)?;
        let after = dispa.memory_kib("VmRSS")?;
        let took = begun.elapsed();
        println!("{HOSTS} hosts in {took:.1?}: {before} KiB before, {after} KiB after");
        assert_eq!(site.backends[0].requests(), 5000 + HOSTS);
        let more = after.saturating_sub(before);
        ensure!(more < MOST_FOR_HOSTS_KIB, "{more} KiB more");
        Ok(())
    })
}

#[test]
fn nine_thousand_idle_connections_are_small() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = dispa(&site)?;
        ask_at_once(0..5000)?;
        let (before, sockets) = (dispa.memory_kib("VmRSS")?, sockets_of(dispa.id())?);
        let mut open = Vec::new();
        for number in 0..CONNECTIONS {
            open.push(connect()?);
            ask(&open[number], [number])?;
        }
        let (after, held) = (dispa.memory_kib("VmRSS")?, sockets_of(dispa.id())? - sockets);
        ensure!(held.abs_diff(CONNECTIONS) < 200, "{held} connections are open");
        let each = after.saturating_sub(before) * 1024 / u64::try_from(CONNECTIONS)?;
        println!("{CONNECTIONS} idle ones: {before} KiB before, {after} after, {each} bytes each");
        ensure!(each < MOST_FOR_CONNECTION, "{each} bytes a connection");
        // Each of them is still good for another request.
        for (number, stream) in open.iter().enumerate().step_by(100) {
            ask(stream, [number])?;
        }
        Ok(())
    })
}
