//! One worker: a thread with a runtime, listeners and connections of its own.

use std::{
    cell::{Cell, RefCell},
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, LocalOptions},
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{dns_udp, finish::Ending, probed, walk};
use crate::{
    kernel::monotonic_ns,
    life::{Phase, Pulse, Rarely, Stopped, Tasks},
    net::{DatagramDoor, Listener, SocketDiag},
    state::{Capacity, Interception, Live, State, mark_own},
    types::Door,
    upstream::{Connections, Mark, RetryBudget},
};

/// How often a worker shows that it is alive; the kernel side waits for four of these.
const BEAT: Duration = Duration::from_millis(250);

/// How often idle connections are looked through.
const SWEEP: Duration = Duration::from_secs(1);

/// The pause after an accept that failed for want of something (descriptors, memory).
const BACK_OFF: Duration = Duration::from_millis(50);

/// How long connections are still accepted once the daemon stops: at the transparent door since the last of
/// them.
const LAST_ACCEPTS: Duration = Duration::from_millis(100);

/// How long a worker that could not accept counts as unable to. Longer than its next attempt takes, and
/// short enough for it to be back within a second.
const STARVED: Duration = Duration::from_millis(700);

/// How often that is worth a line.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// The listening sockets of one worker.
#[derive(Debug)]
pub struct Listeners {
    /// Where slots lead: one for each family.
    pub transparent: Vec<Listener>,
    /// Where the slots' datagrams arrive: one for each family.
    pub datagrams: Vec<UdpSocket>,
    /// The explicit door, where there is one: more than one where a predecessor had more workers.
    pub explicit: Vec<Listener>,
}

/// What a worker is started with.
#[derive(Debug)]
pub struct WorkerStart {
    /// From 0.
    pub number: usize,
    /// Its own listeners.
    pub listeners: Listeners,
    /// What counts now, shared by all.
    pub live: Arc<Live>,
    /// Shared by all.
    pub pulse: Pulse,
    /// Says when to stop.
    pub stopped: Stopped,
}

/// What the steps of the walk use.
#[derive(Debug)]
pub struct Worker {
    state: RefCell<Snapshot>,
    pub(super) interception: Option<Arc<Interception>>,
    pub(super) connections: Rc<Connections>,
    pub(super) retries: RetryBudget,
    /// Where it is to be known which process makes a connection.
    pub(super) socket_diag: Option<SocketDiag>,
    pub(super) tasks: Tasks,
    pub(super) stopped: Stopped,
    pub(super) ending: Rc<Ending>,
    pub(super) capacity: Arc<Capacity>,
    /// When accepting last failed for want of something.
    starved: Cell<Option<Instant>>,
    warn_starved: Rarely,
}

/// The state of one moment, which does not change as long as it is held. Counted by this thread alone.
pub(super) type Snapshot = Rc<Arc<State>>;

impl Worker {
    /// What counts now.
    pub(super) fn state(&self) -> Snapshot {
        Rc::clone(&self.state.borrow())
    }

    /// Connections cannot be accepted: new ones go direct from now on. Should that go on, this worker
    /// shows no sign of life, so that the kernel side lets DNS go direct as well.
    pub(super) fn starve(&self, error: &io::Error) {
        self.capacity.run_short();
        let now = Instant::now();
        self.starved.set(Some(now));
        if self.warn_starved.now(now) {
            tracing::warn!(%error, "cannot accept; new connections go direct for a while");
        }
    }

    /// Waits until nothing new is to be begun any more: `grace` after the daemon was told so, for what was on
    /// its way by then.
    pub(super) async fn begins_nothing_new(&self, grace: Duration) {
        self.stopped.clone().reached(Phase::Draining).await;
        sleep(grace).await;
    }

    fn is_starved(&self) -> bool {
        self.starved.get().is_some_and(|since| since.elapsed() < STARVED)
    }
}

impl WorkerStart {
    /// Runs the worker on this thread until it has drained.
    pub fn run(self) -> io::Result<()> {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(self.serve())
    }

    async fn serve(self) -> io::Result<()> {
        let tasks = Tasks::default();
        let mut changes = self.live.watch();
        let state = Arc::clone(&changes.borrow_and_update());
        let worker = Rc::new(Worker {
            connections: Connections::new(
                &state.http,
                state.upstream,
                state.workers,
                mark(state.interception.clone()),
                tasks.clone(),
            ),
            socket_diag: socket_diag(&state),
            retries: RetryBudget::new(state.workers, Instant::now()),
            interception: state.interception.clone(),
            capacity: Arc::clone(&state.capacity),
            ending: Rc::new(Ending {
                stopped: self.stopped.clone(),
                ledger: Arc::clone(&state.ledger),
            }),
            state: RefCell::new(Rc::new(state)),
            tasks,
            stopped: self.stopped.clone(),
            starved: Cell::new(None),
            warn_starved: Rarely::new(WARN_EVERY),
        });
        let live = Arc::clone(&self.live);
        live.applied(self.number, worker.state().generation);
        tokio::task::spawn_local(follow(self.number, live, changes, Rc::clone(&worker)));
        tokio::task::spawn_local(beat(self.number, self.pulse, Rc::clone(&worker)));
        tokio::task::spawn_local(sweep(Rc::clone(&worker.connections)));
        let mut accepting = Vec::new();
        for listener in self.listeners.transparent {
            accepting.push(accept(listener, Door::Transparent, &worker)?);
        }
        for socket in self.listeners.datagrams {
            relay_dns(DatagramDoor::new(socket)?, &worker);
        }
        for listener in self.listeners.explicit {
            accepting.push(accept(listener, Door::Explicit, &worker)?);
        }
        drain(&worker, self.stopped, accepting).await;
        Ok(())
    }
}

/// Waits for the end: what is open may finish, until the daemon's patience does.
async fn drain(worker: &Worker, mut stopped: Stopped, accepting: Vec<JoinHandle<()>>) {
    stopped.reached(Phase::Retiring).await;
    worker.connections.close_idle();
    // Whatever the hurry: a connection is counted as open only when it is accepted.
    sleep(LAST_ACCEPTS).await;
    let finish = async {
        for task in accepting {
            // A panic has been told of.
            let _ = task.await;
        }
        worker.tasks.idle().await;
    };
    tokio::select! {
        () = finish => {}
        () = stopped.reached(Phase::Stopping) => {}
    }
}

fn accept(listener: Listener, door: Door, worker: &Rc<Worker>) -> io::Result<JoinHandle<()>> {
    let listener = TcpListener::from_std(listener)?;
    let worker = Rc::clone(worker);
    Ok(tokio::task::spawn_local(async move {
        let mut stopped = worker.stopped.clone();
        tokio::select! {
            () = stopped.reached(Phase::Retiring) => {}
            () = accept_all(&listener, door, &worker) => {}
        }
        // Connections that were made before it was known that we stop are in the queue, or about
        // to be: closing the listener now would reset them.
        match door {
            // To it nothing is led any more.
            Door::Transparent => {
                while let Ok(accepted) = timeout(LAST_ACCEPTS, listener.accept()).await {
                    take(accepted, door, &worker).await;
                }
            }
            Door::Explicit => {
                let _ = timeout(LAST_ACCEPTS, accept_all(&listener, door, &worker)).await;
            }
        }
    }))
}

/// Relays questions until the end: those that come once the daemon drains were sent before that.
fn relay_dns(door: DatagramDoor, worker: &Rc<Worker>) {
    tokio::task::spawn_local(dns_udp::serve(door, Rc::clone(worker)));
}

async fn accept_all(listener: &TcpListener, door: Door, worker: &Rc<Worker>) {
    loop {
        if door == Door::Explicit {
            room(worker).await;
        }
        take(listener.accept().await, door, worker).await;
    }
}

async fn take(accepted: io::Result<(TcpStream, SocketAddr)>, door: Door, worker: &Rc<Worker>) {
    match accepted {
        Ok((stream, client)) if probed::is_probe(client, worker) => {
            worker.tasks.spawn(probed::answer(stream, client, Rc::clone(worker)));
        }
        Ok((stream, _)) => start(stream, door, worker),
        Err(error) if is_the_peers(&error) => {}
        Err(error) => {
            worker.starve(&error);
            sleep(BACK_OFF).await;
        }
    }
}

/// Waits until there is room, and whoever connects meanwhile in the listener's queue: unlike at the
/// transparent door, nobody else can serve them. One for which a worker waited already is taken.
async fn room(worker: &Worker) {
    while worker.capacity.is_full() {
        sleep(BACK_OFF).await;
    }
}

fn start(stream: TcpStream, door: Door, worker: &Rc<Worker>) {
    let shared = Rc::clone(worker);
    let open = worker.ending.ledger.metrics.connection(door);
    let seat = worker.capacity.enter(stream.as_raw_fd());
    let close = move |()| drop((open, seat));
    match door {
        Door::Transparent => worker.tasks.spawn(walk::transparent(stream, shared).map(close)),
        Door::Explicit => worker.tasks.spawn(walk::explicit(stream, shared).map(close)),
    }
}

/// Errors of a connection that was gone before it was accepted (accept(2)).
fn is_the_peers(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

/// Without it nobody's process is known, which harms nobody.
fn socket_diag(state: &State) -> Option<SocketDiag> {
    state.interception.as_ref()?.attribution()?;
    let opened = SocketDiag::open();
    opened.inspect_err(|error| tracing::warn!(%error, "processes are not known")).ok()
}

/// Takes up every change of the configuration. Exchanges that are under way go on as they began.
async fn follow(
    number: usize,
    live: Arc<Live>,
    mut changes: watch::Receiver<Arc<State>>,
    worker: Rc<Worker>,
) {
    while changes.changed().await.is_ok() {
        let state = Arc::clone(&changes.borrow_and_update());
        let generation = state.generation;
        worker.connections.follow(&state.http, state.upstream, &state.backends);
        worker.state.replace(Rc::new(state));
        live.applied(number, generation);
    }
}

fn mark(interception: Option<Arc<Interception>>) -> Mark {
    Rc::new(move |socket, backend| mark_own(interception.as_deref(), socket, backend))
}

/// Shows, to the kernel side and to whoever asks for the daemon's health, that this runtime turns.
async fn beat(number: usize, pulse: Pulse, worker: Rc<Worker>) {
    let mut ticks = interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if worker.is_starved() {
            continue;
        }
        let oldest = pulse.stamp(number, monotonic_ns());
        if let Some(interception) = &worker.interception
            && let Err(error) = interception.heartbeat().beat(oldest)
        {
            tracing::warn!(%error, "no heartbeat: connections go direct");
        }
    }
}

async fn sweep(connections: Rc<Connections>) {
    let mut ticks = interval(SWEEP);
    loop {
        ticks.tick().await;
        connections.sweep();
    }
}
