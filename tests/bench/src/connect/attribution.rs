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
    keeper::Lookup,
    net::SocketDiag,
};
use socket2::SockRef;

use super::{
    kernel_time::{KernelTime, of_programs},
    rig::{Attached, INTERCEPTED, OTHER, door, explicit},
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
    let [mut without, mut numbered, mut named, mut plain, mut asked, mut first] =
        [(); 6].map(|()| Times::default());
    let nothing = |_, _| Ok(());
    let named_at = |from, here| ask(&known, &diag, from, here);
    let asked_at = |from, here| ask_explicit(&known, &diag, from, here);
    for _ in 0..TURNS {
        off.turn(&off.redirected, samples, &mut without, nothing)?;
        on.turn(&on.redirected, samples, &mut numbered, |from, here| {
            ask(&numbers, &diag, from, here)
        })?;
        on.turn(&on.redirected, samples, &mut named, named_at)?;
        off.turn(&off.explicit, samples, &mut plain, nothing)?;
        on.turn(&on.explicit, samples, &mut asked, asked_at)?;
    }
    let mut met = Vec::new();
    on.turn(&on.redirected, samples, &mut first, |from, here| {
        let fresh = on.attribution(true)?;
        let begun = Instant::now();
        ask(&fresh, &diag, from, here)?;
        met.push(nanoseconds(begun));
        Ok(())
    })?;
    let mut kernel_times = Vec::new();
    for (side, way, name) in [
        (&off, &off.redirected, "redirected, attribution off"),
        (&on, &on.redirected, "redirected, attribution on"),
        (&off, &off.missed, "missed, attribution off"),
        (&on, &on.missed, "missed, attribution on"),
        (&off, &off.explicit, "explicit door, attribution off"),
        (&on, &on.explicit, "explicit door, attribution on"),
    ] {
        kernel_times.extend(
            side.kernel_times(name, || side.turn(way, samples, &mut Times::default(), nothing))?,
        );
    }
    let questions = vec![
        question("connect(), off", without.connect),
        question("connect(), on", named.connect),
        question("at accept, off", without.accept),
        question("at accept: the process alone, for pools that go by it", numbered.accept),
        question("at accept, on", named.accept),
        question("at accept, on, of a process that was never met", met),
        question("connect() to the explicit door, off", plain.connect),
        question("connect() to the explicit door, on", asked.connect),
        question("at accept at the explicit door, on", asked.accept),
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

fn ask_explicit(
    attribution: &Attribution,
    diag: &SocketDiag,
    from: SocketAddr,
    here: SocketAddr,
) -> Result<()> {
    let process = attribution.of_explicit(Some(diag), from, here);
    ensure!(process.is_some_and(|it| it.pid == process::id()), "it was this process");
    Ok(())
}

/// Where a connection is asked for, and where it arrives.
struct Way {
    target: SocketAddr,
    listener: TcpListener,
}

impl Way {
    fn new(target: SocketAddr, at: SocketAddr) -> Result<Self> {
        Ok(Self { target, listener: TcpListener::bind(at)? })
    }
}

/// Programs that note who connects, or do not, and the ways past them.
struct Side {
    attached: Attached,
    redirected: Way,
    explicit: Way,
    missed: Way,
}

impl Side {
    fn new(door: SocketAddr, clients: bool) -> Result<Self> {
        let attached = Attached::to_new_cgroup(door, clients)?;
        let elsewhere = SocketAddr::new(OTHER.ip(), door.port() + 200);
        Ok(Self {
            attached,
            redirected: Way::new(INTERCEPTED, door)?,
            explicit: Way::new(explicit(door), explicit(door))?,
            missed: Way::new(elsewhere, elsewhere)?,
        })
    }

    /// As a daemon has it that nothing was asked of yet.
    fn attribution(&self, is_on: bool) -> Result<Attribution> {
        let text = format!("[intercept]\nattribution = {is_on}");
        let intercept = Config::parse(&text, "bench", &Overrides::default())?.intercept;
        let interceptor = &self.attached.interceptor;
        let clients = interceptor.clients().context("nothing is noted")?;
        Ok(Attribution::new(clients, interceptor.selected_cgroups(), &intercept, &Lookup::own()))
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
        way: &Way,
        samples: usize,
        times: &mut Times,
        mut at_accept: impl FnMut(SocketAddr, SocketAddr) -> Result<()>,
    ) -> Result<()> {
        let _inside = Inside::enter(self.attached.cgroup.path())?;
        for _ in 0..samples {
            let begun = Instant::now();
            let client = TcpStream::connect(way.target)?;
            times.connect.push(nanoseconds(begun));
            let (server, from) = way.listener.accept()?;
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
