//! What finding out who connected takes of the worker that accepts. It is nothing where
//! `intercept.attribution` is off: there is nobody to ask.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use dispa_lab::Cgroup;
use dispa_user::{
    attribution::Attribution,
    config::{Config, Intercept, Overrides},
    net::SocketDiag,
};
use socket2::SockRef;

use super::rig::{Attached, INTERCEPTED};
use crate::statistics::quantile;

/// Where the connections of this measurement arrive.
const DOOR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 15003);

/// One thing that is found out.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) what: &'static str,
    pub(super) p50_ns: f64,
    pub(super) p99_ns: f64,
}

/// Makes `samples` connections for each question. This process is the program that connects.
pub(super) fn measure(samples: usize) -> Result<Vec<Question>> {
    let attached = Attached::to_new_cgroup(DOOR, true)?;
    let _inside = Inside::enter(attached.cgroup.path())?;
    let listener = TcpListener::bind(DOOR)?;
    let diag = SocketDiag::open()?;
    let interceptor = &attached.interceptor;
    let clients = interceptor.clients().context("they are noted")?;
    let named = |attribution: bool| -> Result<Attribution> {
        let text = format!("[intercept]\nattribution = {attribution}");
        let intercept: Intercept = Config::parse(&text, "bench", &Overrides::default())?.intercept;
        Ok(Attribution::new(clients.clone(), interceptor.selected_cgroups(), &intercept))
    };
    let numbers = named(false)?;
    let known = named(true)?;
    let ask = |attribution: &Attribution| -> Result<f64> {
        let client = TcpStream::connect(INTERCEPTED)?;
        let (server, from) = listener.accept()?;
        let here = server.local_addr()?;
        let begun = Instant::now();
        let answer = attribution.of(Some(&diag), from, here);
        let taken = begun.elapsed();
        ensure!(answer.process.is_some_and(|it| it.pid == process::id()), "it was this one");
        SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
        Ok(taken.as_secs_f64() * 1e9)
    };
    let numbers = times(samples, || ask(&numbers))?;
    let known = times(samples, || ask(&known))?;
    let first = times(samples, || ask(&named(true)?))?;
    Ok(vec![
        question("the process", numbers),
        question("and its names, of a process that is known", known),
        question("and its names, of one that is met for the first time", first),
    ])
}

fn times(samples: usize, mut ask: impl FnMut() -> Result<f64>) -> Result<Vec<f64>> {
    (0..samples).map(|_| ask()).collect()
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
