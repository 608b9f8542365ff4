//! `backends`: what the counts for the backends cost: the program's own run time, and how often it
//! runs for a connection, an exchange and a long body.
//!
//! All is done in one process, which lives in a cgroup of its own, as a daemon does: it is both ends
//! of its connections. The cases take turns.

use std::{
    env,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aya::sys::{Stats, enable_stats};
use clap::Args;
use dispa_common::programs::SOCK_OPS;
use dispa_lab::{Cgroup, Lab, run as run_command};
use dispa_user::kernel::{Cgroup2, Doors, Interceptor, Options, Selection};
use socket2::{Domain, SockRef, Socket, Type};

use crate::{
    connect::{CORE, account, pin},
    statistics::median,
};

/// How much is measured.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Size {
    /// Turns of every case; the figures are medians over them.
    #[arg(long, default_value_t = 24)]
    rounds: usize,
    /// Connections, and as many exchanges, in each turn.
    #[arg(long, default_value_t = 2000)]
    samples: usize,
}

const LIMIT: Duration = Duration::from_mins(5);
const REQUEST: [u8; 300] = [b'x'; 300];
const RESPONSE: [u8; 2000] = [b'x'; 2000];
/// Bytes of the long bodies.
const BODY: usize = 512 << 20;
const BACKEND: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    /// Nothing is attached.
    Without,
    /// The program is attached; the socket is one of the daemon's that lead to no backend.
    Other,
    /// The socket leads to a backend.
    Counted,
}

const CASES: [Case; 3] = [Case::Without, Case::Other, Case::Counted];

/// Starts the measuring side in a cgroup and a namespace of its own, and passes its table on.
pub(crate) fn run(size: Size) -> Result<()> {
    let table = Lab::run(|_| {
        let cgroup = Cgroup::new()?;
        let mut command = cgroup.command(env::current_exe()?);
        let size = [size.rounds.to_string(), size.samples.to_string()];
        command.args(["__backends", "--rounds", &size[0], "--samples", &size[1]]);
        run_command(&mut command, LIMIT)?.success()
    })?;
    println!("{table}");
    Ok(())
}

/// The measuring side.
pub(crate) fn measure(size: Size) -> Result<()> {
    pin(CORE)?;
    let rig = Rig::new()?;
    let mut connects = [vec![], vec![], vec![]];
    let mut exchanges = [vec![], vec![], vec![]];
    for round in 0..size.rounds {
        for turn in 0..CASES.len() {
            let at = (round + turn) % CASES.len();
            let kernel = Rig::prepare(CASES[at])?;
            connects[at].push(rig.connections(kernel.as_ref(), CASES[at], size.samples)?);
            exchanges[at].push(rig.exchanges(kernel.as_ref(), CASES[at], size.samples)?);
        }
    }
    println!(
        "Medians of {} rounds of {} connections and as many exchanges of {} and {} bytes, one \
         core, µs.\n\n| | connection | exchange |\n|---|---|---|",
        size.rounds,
        size.samples,
        REQUEST.len(),
        RESPONSE.len()
    );
    for (at, name) in ["nothing attached", "marked, not counted", "counted"].into_iter().enumerate()
    {
        let (connect, exchange) = (median(&mut connects[at]), median(&mut exchanges[at]));
        println!("| {name} | {connect:.2} | {exchange:.2} |");
    }
    rig.kernel_times(size.samples)
}

struct Rig {
    listener: TcpListener,
    address: SocketAddr,
}

impl Rig {
    fn new() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// What is to be attached in this case.
    fn prepare(case: Case) -> Result<Option<Interceptor>> {
        if case == Case::Without {
            return Ok(None);
        }
        let doors = Doors { port4: 1, door6: None };
        let options = Options {
            doors,
            events: false,
            clients: false,
            explicit: None,
            selection: Selection::default(),
            dns: true,
            caught_ports: Vec::new(),
        };
        let mut kernel = Interceptor::load(&options)?;
        kernel.count_backends(&Cgroup2::find()?.own()?)?;
        kernel.watch_backends([BACKEND])?;
        Ok(Some(kernel))
    }

    fn connect(&self, kernel: Option<&Interceptor>, case: Case) -> Result<(TcpStream, TcpStream)> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        if let Some(kernel) = kernel {
            // The mark is there without the counts as well, and costs the same.
            let backend = if case == Case::Counted { BACKEND } else { 0 };
            kernel.own_sockets().mark(&socket, backend)?;
        }
        socket.connect(&self.address.into())?;
        let client = TcpStream::from(socket);
        let (server, _) = self.listener.accept()?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        Ok((client, server))
    }

    /// The time in µs from a marked socket to the end of its connection.
    fn connections(&self, kernel: Option<&Interceptor>, case: Case, samples: usize) -> Result<f64> {
        let begun = Instant::now();
        for _ in 0..samples {
            let (client, server) = self.connect(kernel, case)?;
            // No TIME_WAIT: the ports never run out.
            SockRef::from(&server).set_linger(Some(Duration::ZERO))?;
            drop(server);
            drop(client);
        }
        Ok(each(begun, samples))
    }

    /// The time in µs of one exchange on a kept connection.
    fn exchanges(&self, kernel: Option<&Interceptor>, case: Case, samples: usize) -> Result<f64> {
        let (mut client, mut server) = self.connect(kernel, case)?;
        let mut taken = [0; RESPONSE.len()];
        let begun = Instant::now();
        for _ in 0..samples {
            client.write_all(&REQUEST)?;
            server.read_exact(&mut taken[..REQUEST.len()])?;
            server.write_all(&RESPONSE)?;
            client.read_exact(&mut taken)?;
        }
        Ok(each(begun, samples))
    }

    /// One long body, which the client takes or sends.
    fn body(&self, kernel: &Interceptor, case: Case, down: bool) -> Result<()> {
        let (client, server) = self.connect(Some(kernel), case)?;
        let (mut from, mut to) = if down { (server, client) } else { (client, server) };
        thread::scope(|scope| {
            let sender = scope.spawn(move || {
                let chunk = vec![b'x'; 64 << 10];
                (0..BODY / chunk.len()).try_for_each(|_| from.write_all(&chunk))
            });
            let mut chunk = vec![0; 64 << 10];
            while to.read(&mut chunk)? > 0 {}
            sender.join().ok().context("the sender failed")?.map_err(anyhow::Error::from)
        })
    }

    /// How often the program runs, and for how long: the kernel's own account of it.
    fn kernel_times(&self, samples: usize) -> Result<()> {
        let _on = enable_stats(Stats::RunTime).context("the kernel keeps no BPF statistics")?;
        println!("\n| {SOCK_OPS} runs for | times | ns each | ns in all |\n|---|---|---|---|");
        let kernel = Self::prepare(Case::Counted)?.context("nothing attached")?;
        let descriptors = kernel.program_descriptors();
        let (_, descriptor) = descriptors
            .into_iter()
            .find(|(name, _)| *name == SOCK_OPS)
            .context("it is not attached")?;
        for case in [Case::Other, Case::Counted] {
            let whose = if case == Case::Counted { "of ours" } else { "of others" };
            let row = |what: &str, count: usize, work: &mut dyn FnMut() -> Result<()>| {
                let before = account(descriptor)?;
                work()?;
                let after = account(descriptor)?;
                let (ns, runs) = (after.0 - before.0, after.1 - before.1);
                #[expect(clippy::cast_precision_loss, reason = "some thousand runs of some ns")]
                let (ns, runs, count) = (ns as f64, runs as f64, count as f64);
                println!(
                    "| {what} {whose} | {:.1} | {:.0} | {:.0} |",
                    runs / count,
                    if runs > 0.0 { ns / runs } else { 0.0 },
                    ns / count
                );
                anyhow::Ok(())
            };
            row("a connection, both ends", samples, &mut || {
                self.connections(Some(&kernel), case, samples).map(drop)
            })?;
            row("an exchange", samples, &mut || {
                self.exchanges(Some(&kernel), case, samples).map(drop)
            })?;
            row("a MiB taken", BODY >> 20, &mut || self.body(&kernel, case, true))?;
            row("a MiB sent", BODY >> 20, &mut || self.body(&kernel, case, false))?;
        }
        Ok(())
    }
}

fn each(begun: Instant, samples: usize) -> f64 {
    let samples = u32::try_from(samples).unwrap_or(u32::MAX);
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(samples)
}
