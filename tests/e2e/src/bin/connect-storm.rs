//! Many connections from few source ports, each checked to end where it was meant to.
//!
//! `connect-storm TOTAL FIRST_PORT PORTS THREADS DESTINATION...` makes `TOTAL` connections, going
//! through every pair of source port and destination. Each names its destination in bytes that are
//! no HTTP, and expects the server there to answer with its own address. It ends with a reset, so
//! that its source port is free for the same destination again. One line tells how many there
//! were, and how many went wrong in which way.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    ops::AddAssign,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use socket2::{Domain, Protocol, Socket, Type};

/// Long enough for a daemon that shares two cores with everything else.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
struct Plan {
    total: usize,
    first_port: u16,
    ports: u16,
    threads: u16,
    destinations: Vec<SocketAddr>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    connections: usize,
    /// The server that answered was another one.
    wrong_origin: usize,
    /// `getpeername()` told another address.
    wrong_peer: usize,
    failed: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.wrong_origin += other.wrong_origin;
        self.wrong_peer += other.wrong_peer;
        self.failed += other.failed;
    }
}

fn main() -> Result<()> {
    let plan = Plan::parse(&env::args().skip(1).collect::<Vec<_>>())?;
    let plan = &plan;
    let mut sum = Tally::default();
    thread::scope(|scope| {
        let spawn = |number| scope.spawn(move || plan.share(number));
        for thread in (0..plan.threads).map(spawn).collect::<Vec<_>>() {
            // A thread that panicked is missed in the count of connections.
            sum += thread.join().unwrap_or_default();
        }
    });
    let Tally { connections, wrong_origin, wrong_peer, failed } = sum;
    println!(
        "connections={connections} wrong_origin={wrong_origin} wrong_peer={wrong_peer} failed={failed}"
    );
    Ok(())
}

impl Plan {
    fn parse(arguments: &[String]) -> Result<Self> {
        let [total, first_port, ports, threads, destinations @ ..] = arguments else {
            anyhow::bail!("usage: connect-storm TOTAL FIRST_PORT PORTS THREADS DESTINATION...");
        };
        let destinations = destinations.iter().map(|text| text.parse());
        let plan = Self {
            total: total.parse().context("TOTAL")?,
            first_port: first_port.parse().context("FIRST_PORT")?,
            ports: ports.parse().context("PORTS")?,
            threads: threads.parse().context("THREADS")?,
            destinations: destinations.collect::<Result<_, _>>().context("DESTINATION")?,
        };
        ensure!(
            plan.threads > 0 && plan.ports.is_multiple_of(plan.threads),
            "PORTS must divide by THREADS"
        );
        Ok(plan)
    }

    /// What one thread does. Its source ports are its own, so that no two connections with the
    /// same ends are ever open at once.
    fn share(&self, thread: u16) -> Tally {
        let own_ports = self.ports / self.threads;
        let first = self.first_port + thread * own_ports;
        let pairs = (first..first + own_ports)
            .flat_map(|port| self.destinations.iter().map(move |to| (port, *to)));
        let mut tally = Tally::default();
        for (port, to) in pairs.cycle().take(self.total / usize::from(self.threads)) {
            tally.connections += 1;
            if let Err(error) = exchange(port, to, &mut tally) {
                tally.failed += 1;
                eprintln!("{port} -> {to}: {error}");
            }
        }
        tally
    }
}

fn exchange(port: u16, to: SocketAddr, tally: &mut Tally) -> io::Result<()> {
    let stream = connect(port, to)?;
    tally.wrong_peer += usize::from(stream.peer_addr()? != to);
    // No method begins with a zero.
    (&stream).write_all(format!("\0{to}\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer)?;
    tally.wrong_origin += usize::from(answer.trim_end() != to.to_string());
    Ok(())
}

fn connect(port: u16, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    socket.connect(&to.into())?;
    Ok(socket.into())
}
