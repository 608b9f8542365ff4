//! What the cases need: namespaces, the attached programs, iptables' rule, and a probe for each.

use std::{
    env,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dispa_lab::{Cgroup, Lab, Process, run};
use dispa_user::kernel::{Doors, Heartbeat, Interceptor, Options, Selection, monotonic_ns};

use super::probe::Ends;

/// The intercepted destination, and another one.
pub(super) const INTERCEPTED: SocketAddr = address(10);
pub(super) const OTHER: SocketAddr = address(20);

/// Where redirected connections arrive, by dispa's slots or by iptables.
const DOOR: SocketAddr = door(15001);

/// The explicit door of programs whose slots lead to `door`.
pub(super) const fn explicit(door: SocketAddr) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), door.port() + 100)
}

/// The slot that the intercepted destination gets.
const SLOT: u32 = 1;

/// A turn of some thousand samples takes far less.
const TURN_LIMIT: Duration = Duration::from_mins(1);

const fn address(last: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, last)), 80)
}

pub(super) const fn door(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

/// A way that a connection can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// Nothing is attached.
    Direct,
    /// The programs are attached; the destination is not intercepted.
    Missed,
    /// The programs are attached; the destination is intercepted.
    Redirected,
    /// Redirected by `iptables -j REDIRECT`.
    Iptables,
}

impl Case {
    pub(super) const ALL: [Self; 4] =
        [Self::Direct, Self::Missed, Self::Redirected, Self::Iptables];

    fn ends(self) -> Ends {
        match self {
            Self::Direct => Ends { target: address(30), listen: address(30) },
            Self::Missed => Ends { target: OTHER, listen: OTHER },
            Self::Redirected | Self::Iptables => Ends { target: INTERCEPTED, listen: DOOR },
        }
    }
}

/// What one turn of a probe found, in ns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) connect_p50: f64,
    pub(super) connect_p99: f64,
    pub(super) trip_p50: f64,
    pub(super) trip_p99: f64,
}

/// Programs that are attached to a cgroup of their own.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) interceptor: Interceptor,
    pub(super) cgroup: Cgroup,
    _beating: Beating,
}

impl Attached {
    /// As a daemon with its defaults loads them, but for `clients`: whether programs are noted.
    pub(super) fn to_new_cgroup(door: SocketAddr, clients: bool) -> Result<Self> {
        let options = Options {
            doors: Doors { port4: door.port(), door6: None },
            events: false,
            clients,
            explicit: Some(explicit(door)),
            selection: Selection::default(),
            dns: true,
            caught_ports: Vec::new(),
        };
        let cgroup = Cgroup::new()?;
        let mut interceptor = Interceptor::load(&options)?;
        interceptor.redirect(INTERCEPTED, SLOT)?;
        interceptor.attach(cgroup.path())?;
        let beating = Beating::start(interceptor.heartbeat());
        Ok(Self { interceptor, cgroup, _beating: beating })
    }
}

/// Everything that is measured, ready.
#[derive(Debug)]
pub(super) struct Rig {
    probes: Vec<(Case, Process)>,
    /// Held for its links; the probes' connections go through its programs.
    attached: Attached,
}

impl Rig {
    /// The cases of dispa, in this lab's namespace.
    pub(super) fn dispa(lab: &Lab) -> Result<Self> {
        for address in [INTERCEPTED, OTHER, address(30)] {
            lab.address(address.ip())?;
        }
        let attached = Attached::to_new_cgroup(DOOR, false)?;
        let me = env::current_exe()?;
        let probes = vec![
            (Case::Direct, start(Command::new(&me), Case::Direct)?),
            (Case::Missed, start(attached.cgroup.command(&me), Case::Missed)?),
            (Case::Redirected, start(attached.cgroup.command(&me), Case::Redirected)?),
        ];
        Ok(Self { probes, attached })
    }

    /// The programs that the connections go through.
    pub(super) fn interceptor(&self) -> &Interceptor {
        &self.attached.interceptor
    }

    /// The case of iptables, in another lab's namespace.
    pub(super) fn with_iptables(mut self, lab: &Lab) -> Result<Self> {
        lab.address(INTERCEPTED.ip())?;
        let rule = format!(
            "-t nat -A OUTPUT -p tcp -d {} --dport {} -j REDIRECT --to-ports {}",
            INTERCEPTED.ip(),
            INTERCEPTED.port(),
            DOOR.port()
        );
        let mut iptables = Command::new("iptables");
        run(iptables.args(rule.split(' ')), TURN_LIMIT)?.success()?;
        let probe = start(Command::new(env::current_exe()?), Case::Iptables)?;
        self.probes.push((Case::Iptables, probe));
        Ok(self)
    }

    /// One turn of `case`.
    pub(super) fn measure(&mut self, case: Case, samples: usize) -> Result<Turn> {
        let (_, probe) = self
            .probes
            .iter_mut()
            .find(|(of, _)| *of == case)
            .with_context(|| format!("no probe for {case:?}"))?;
        let before = probe.lines().len();
        probe.write(&format!("{samples}\n"))?;
        let mut seen = 0;
        let line = probe.wait_for_line(TURN_LIMIT, |_| {
            seen += 1;
            seen > before
        })?;
        parse(&line.text)
    }
}

fn start(mut command: Command, case: Case) -> Result<Process> {
    let Ends { target, listen } = case.ends();
    command.args(["__probe", "--target", &target.to_string(), "--listen", &listen.to_string()]);
    let probe = Process::start(&mut command)?;
    probe.wait_for_line(TURN_LIMIT, |line| line.text == "ready")?;
    Ok(probe)
}

fn parse(line: &str) -> Result<Turn> {
    let figures: Vec<f64> = line.split(' ').map_while(|figure| figure.parse().ok()).collect();
    ensure!(figures.len() == 4, "the probe said: {line}");
    Ok(Turn {
        connect_p50: figures[0],
        connect_p99: figures[1],
        trip_p50: figures[2],
        trip_p99: figures[3],
    })
}

/// Keeps the heartbeat fresh until dropped.
#[derive(Debug)]
struct Beating(Arc<AtomicBool>);

impl Beating {
    fn start(heartbeat: Heartbeat) -> Self {
        let on = Arc::new(AtomicBool::new(true));
        let beating = Arc::clone(&on);
        thread::spawn(move || {
            while beating.load(Ordering::Relaxed) && heartbeat.beat(monotonic_ns()).is_ok() {
                thread::sleep(Duration::from_millis(250));
            }
        });
        Self(on)
    }
}

impl Drop for Beating {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
