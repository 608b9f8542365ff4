//! Proves, again and again, that connections arrive: by some of the daemon's own, which go the whole way
//! that a program's would, and by a look at what lies on it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsFd as _,
    sync::Arc,
    time::{Duration, Instant},
};

use dispa_common::{PROBE_SLOT, PROBE_SOURCE4};
use futures_util::future::join_all;
use socket2::SockRef;
use tokio::{
    io::AsyncReadExt as _,
    net::TcpSocket,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::{
    kernel::{Cgroup2, monotonic_ns},
    life::{Phase, Pulse, Stopped},
    state::{Fault, Interception, PathStanding},
};

/// The pause between two looks. What is broken is known within 5 s: two looks, each as long as a probe may
/// take.
const PAUSE: Duration = Duration::from_secs(2);

/// The pause before what looked broken is looked at again: it may have been in the middle of a change.
const AGAIN: Duration = Duration::from_millis(200);

/// How long a probe may take, on a host that is busy.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the start waits for the first proof.
const FIRST_PROOF: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// Looks at the path of one daemon.
#[derive(Debug)]
pub struct PathProver {
    interception: Arc<Interception>,
    pulse: Pulse,
    hierarchy: Option<Cgroup2>,
    turn: usize,
}

impl PathProver {
    /// Of a daemon that is attached, and whose workers show their `pulse`.
    #[must_use]
    pub fn new(interception: Arc<Interception>, pulse: Pulse) -> Self {
        Self { interception, pulse, hierarchy: Cgroup2::find().ok(), turn: 0 }
    }

    /// Waits for the first proof, a little: workers may be about to start.
    pub async fn first(&mut self) {
        let end = Instant::now() + FIRST_PROOF;
        while Instant::now() < end {
            let (standing, faults) = self.look().await;
            if faults.is_empty() {
                return self.interception.path().found(standing, faults, Instant::now());
            }
            sleep(FIRST_PAUSE).await;
        }
    }

    /// Looks until the daemon stops.
    pub async fn run(mut self, mut stopped: Stopped) {
        tokio::select! {
            () = stopped.reached(Phase::Retiring) => {}
            () = self.look_for_ever() => {}
        }
    }

    async fn look_for_ever(&mut self) {
        loop {
            let (mut standing, mut faults) = self.look().await;
            if !faults.is_empty() {
                sleep(AGAIN).await;
                (standing, faults) = self.look().await;
            }
            let is_loose = faults.iter().any(Fault::is_loose);
            self.interception.path().found(standing, faults, Instant::now());
            if is_loose {
                self.reattach().await;
            }
            sleep(PAUSE).await;
        }
    }

    /// Attaches what is attached no longer; the next look tells whether that helped.
    async fn reattach(&self) {
        let interception = Arc::clone(&self.interception);
        match spawn_blocking(move || interception.reattach()).await {
            Ok(Ok(())) => tracing::warn!("attached again"),
            Ok(Err(error)) => tracing::warn!(%error, "cannot attach again"),
            Err(error) => tracing::error!(%error, "attaching again ended in a panic"),
        }
    }

    /// What is wrong, and how much is known if nothing is.
    async fn look(&mut self) -> (PathStanding, Vec<Fault>) {
        self.turn = self.turn.wrapping_add(1);
        let (interception, oldest) = (Arc::clone(&self.interception), self.pulse.oldest());
        let oldest = oldest.min(monotonic_ns());
        let inspected = spawn_blocking(move || interception.inspect(oldest)).await;
        let mut faults = inspected.unwrap_or_else(|it| vec![Fault::Unreadable(it.to_string())]);
        let is_inside = self.lives_in_the_cgroup();
        let families = self.interception.doors().probed();
        let one = is_inside.then(|| self.interception.one_destination(self.turn)).flatten();
        let probes = families.into_iter().chain(one).map(|to| self.probe(to, is_inside));
        faults.extend(join_all(probes).await.into_iter().filter_map(Result::err));
        (if is_inside { PathStanding::Proven } else { PathStanding::Assumed }, faults)
    }

    /// Whether this process is among those whose connections are redirected.
    fn lives_in_the_cgroup(&self) -> bool {
        let own = self.hierarchy.as_ref().and_then(|it| it.own().ok());
        let attached = self.interception.attached().and_then(|it| it.canonicalize().ok());
        own.zip(attached).is_some_and(|(own, attached)| own.starts_with(attached))
    }

    async fn probe(&self, to: SocketAddr, is_redirected: bool) -> Result<(), Fault> {
        let probing = timeout(PATIENCE, self.send(to, is_redirected)).await;
        let probed = probing.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        self.interception.path().count(probed.is_ok());
        probed.map_err(|error| fault(to, &error))
    }

    /// Connects to `to` as a program would or, where that is not redirected, straight to its slot.
    async fn send(&self, to: SocketAddr, is_redirected: bool) -> io::Result<()> {
        // From a loopback address: if it is not redirected, it does not leave this host.
        let (socket, from) = match to.ip() {
            IpAddr::V4(_) => {
                (TcpSocket::new_v4()?, IpAddr::from(Ipv4Addr::from_bits(PROBE_SOURCE4)))
            }
            IpAddr::V6(_) => (TcpSocket::new_v6()?, Ipv6Addr::LOCALHOST.into()),
        };
        if to.is_ipv6() {
            // Nor can it get beyond the link where the route is missing.
            SockRef::from(&socket).set_unicast_hops_v6(0)?;
        }
        socket.bind((from, 0).into())?;
        let path = self.interception.path();
        let _expected = path.expect(socket.local_addr()?, to);
        let to = if is_redirected {
            self.interception.mark_probe(socket.as_fd()).map_err(io::Error::other)?;
            to
        } else {
            let slot = self.interception.doors().at(PROBE_SLOT, to.ip());
            slot.ok_or(io::ErrorKind::AddrNotAvailable)?
        };
        let mut stream = socket.connect(to).await?;
        // It leaves nothing behind, whoever closes first.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        let mut word = [0; 8];
        stream.read_exact(&mut word).await?;
        if path.is_proof(word) { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

fn fault(to: SocketAddr, error: &io::Error) -> Fault {
    use io::ErrorKind as Kind;
    let why = match error.kind() {
        Kind::NetworkUnreachable | Kind::HostUnreachable if to.is_ipv6() => {
            return Fault::NoRoute(error.to_string());
        }
        Kind::UnexpectedEof | Kind::ConnectionReset => "it was not redirected".to_owned(),
        Kind::TimedOut => format!("no answer for {} ms", PATIENCE.as_millis()),
        Kind::InvalidData => "somebody else answered".to_owned(),
        _ => error.to_string(),
    };
    Fault::NotArrived { to, why }
}
