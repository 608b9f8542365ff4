//! What finding out who connected takes of the worker that accepts. It is nothing where
//! `intercept.attribution` is off: there is nobody to ask.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use dispa_lab::Cgroup;
use dispa_user::{
    attribution::Attribution,
    config::{Config, Overrides},
    net::SocketDiag,
};
use socket2::SockRef;

use super::{
    kernel_time::{KernelTime, of_programs},
    rig::{Attached, INTERCEPTED, door},
};
use crate::statistics::quantile;

/// Where the connections of this measurement arrive.
const OFF_DOOR: SocketAddr = door(15002);
const ON_DOOR: SocketAddr = door(15003);

/// Turns of each kind, which alternate.
const TURNS: usize = 10;

/// One thing that takes time.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) what: &'static str,
    pub(super) p50_ns: f64,
    pub(super) p99_ns: f64,
}

/// What one way of asking took, a connection each: `connect()`, and the answer at accept, in ns.
#[derive(Debug, Default)]
struct Times {
    connect: Vec<f64>,
    accept: Vec<f64>,
}

/// Makes `samples` connections in each turn. This process is the program that connects.
pub(super) fn measure(samples: usize) -> Result<(Vec<Question>, Vec<KernelTime>)> {
    let diag = SocketDiag::open()?;
    let (off, on) = (Side::new(OFF_DOOR, false)?, Side::new(ON_DOOR, true)?);
    let (numbers, known) = (on.attribution(false)?, on.attribution(true)?);
    let [mut without, mut numbered, mut named, mut first] = [(); 4].map(|()| Times::default());
    for _ in 0..TURNS {
        off.turn(samples, &mut without, |_, _| Ok(()))?;
        on.turn(samples, &mut numbered, |from, here| ask(&numbers, &diag, from, here))?;
        on.turn(samples, &mut named, |from, here| ask(&known, &diag, from, here))?;
    }
    let mut met = Vec::new();
    on.turn(samples, &mut first, |from, here| {
        let fresh = on.attribution(true)?;
        let begun = Instant::now();
        ask(&fresh, &diag, from, here)?;
        met.push(nanoseconds(begun));
        Ok(())
    })?;
    let ignored = &mut Times::default();
    let mut kernel_times = off.kernel_times("redirected, attribution off", || {
        off.turn(samples, ignored, |_, _| Ok(()))
    })?;
    kernel_times.extend(on.kernel_times("redirected, attribution on", || {
        on.turn(samples, ignored, |from, here| ask(&known, &diag, from, here))
    })?);
    let questions = vec![
        question("connect(), off", without.connect),
        question("connect(), on", named.connect),
        question("at accept, off", without.accept),
        question("at accept: the process alone, for pools that go by it", numbered.accept),
        question("at accept, on", named.accept),
        question("at accept, on, of a process that was never met", met),
    ];
    Ok((questions, kernel_times))
}

fn ask(
    attribution: &Attribution,
    diag: &SocketDiag,
    from: SocketAddr,
    here: SocketAddr,
) -> Result<()> {
    let answer = attribution.of(Some(diag), from, here);
    ensure!(answer.process.is_some_and(|it| it.pid == process::id()), "it was this process");
    Ok(())
}

/// Programs that note who connects, or do not, and where they redirect to.
struct Side {
    attached: Attached,
    listener: TcpListener,
}

impl Side {
    fn new(door: SocketAddr, clients: bool) -> Result<Self> {
        let attached = Attached::to_new_cgroup(door, clients)?;
        Ok(Self { attached, listener: TcpListener::bind(door)? })
    }

    /// As a daemon has it that nothing was asked of yet.
    fn attribution(&self, is_on: bool) -> Result<Attribution> {
        let text = format!("[intercept]\nattribution = {is_on}");
        let intercept = Config::parse(&text, "bench", &Overrides::default())?.intercept;
        let interceptor = &self.attached.interceptor;
        let clients = interceptor.clients().context("nothing is noted")?;
        Ok(Attribution::new(clients, interceptor.selected_cgroups(), &intercept))
    }

    fn kernel_times(
        &self,
        way: &'static str,
        work: impl FnOnce() -> Result<()>,
    ) -> Result<Vec<KernelTime>> {
        of_programs(&self.attached.interceptor.program_descriptors(), way, work)
    }

    fn turn(
        &self,
        samples: usize,
        times: &mut Times,
        mut at_accept: impl FnMut(SocketAddr, SocketAddr) -> Result<()>,
    ) -> Result<()> {
        let _inside = Inside::enter(self.attached.cgroup.path())?;
        for _ in 0..samples {
            let begun = Instant::now();
            let client = TcpStream::connect(INTERCEPTED)?;
            times.connect.push(nanoseconds(begun));
            let (server, from) = self.listener.accept()?;
            let here = server.local_addr()?;
            let begun = Instant::now();
            at_accept(from, here)?;
            times.accept.push(nanoseconds(begun));
            // No TIME_WAIT: the ports never run out.
            SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
        }
        Ok(())
    }
}

fn nanoseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e9
}

fn question(what: &'static str, mut times: Vec<f64>) -> Question {
    let (p50_ns, p99_ns) = (quantile(&mut times, 0.5), quantile(&mut times, 0.99));
    Question { what, p50_ns, p99_ns }
}

/// This process in another cgroup, until it is dropped.
struct Inside {
    from: PathBuf,
}

impl Inside {
    fn enter(cgroup: &Path) -> Result<Self> {
        let lines = fs::read_to_string("/proc/self/cgroup")?;
        let own = lines.lines().find_map(|line| line.strip_prefix("0::/"));
        let from = Cgroup::root()?.join(own.context("this process is in no cgroup of v2")?);
        fs::write(cgroup.join("cgroup.procs"), "0")?;
        Ok(Self { from })
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // Where it cannot go back, the cgroup's owner ends what is in it.
        let _ = fs::write(self.from.join("cgroup.procs"), "0");
    }
}
