//! The daemon from start to stop.

use std::{
    io::{self, IsTerminal as _},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use dispa_common::Counter;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    Inheritance, Log, Prepared, StartError, doors::Opened, prepared::Kernel, service,
    sockets::Sockets, succession::Successor,
};
use crate::{
    admin::{self, Monitor, MonitoringPorts, Page, PagePort, Vitals},
    config::{CgroupChoice, Config, Scheme},
    control::{
        HangUp, Learner, PathProver, ReloadSignals, StopSignals, follow_file, log_events,
        watch_backends, watch_room,
    },
    dns::Lesson,
    keeper::Keeper,
    kernel::Cgroup2,
    life::{Phase, Pulse, StopHandle, Stopped, stop_signal},
    proxy::{Listeners, WorkerStart},
    sink::TrafficLog,
    state::{ConfigSource, Interception, Ledger, Live, Reloader, State, UpgradeRequest, Upgrader},
    upstream::Backend,
};

/// Longer than a Linux peer puts an acknowledgement off (`TCP_DELACK_MAX`, 200 ms).
const LAST_CLOSES: Duration = Duration::from_millis(250);

/// How long workers may take to turn for the first time.
const FIRST_BEATS: Duration = Duration::from_secs(5);

/// What the traffic log has at least for what waits, even where the open connections took all the time.
const LAST_WRITES: Duration = Duration::from_secs(1);

/// What a run of the daemon is to do, beyond its configuration.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the explicit door is; `None` for no such door.
    pub explicit: Option<SocketAddr>,
    /// The cgroup directory to attach to; `None` for no interception.
    pub cgroup: Option<PathBuf>,
    /// Whether each outcome of the kernel's hooks is logged.
    pub events: bool,
    /// Whether the daemon can be watched, where the configuration says so.
    pub monitored: bool,
}

impl Plan {
    /// What the configuration itself asks for.
    pub fn of(config: &Config, events: bool) -> Result<Self, StartError> {
        let cgroup = match &config.intercept.cgroup {
            _ if !config.intercept.enabled => None,
            CgroupChoice::Auto => Some(Cgroup2::find()?.root().to_owned()),
            CgroupChoice::Path(path) => Some(path.clone()),
        };
        Ok(Self { explicit: Some(config.server.bind_address), cgroup, events, monitored: true })
    }
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    live: Arc<Live>,
    stop: StopHandle,
    workers: Vec<JoinHandle<()>>,
    pulse: Pulse,
    stopped: Stopped,
    ports: MonitoringPorts,
    page: Option<PagePort>,
    keeper: Arc<Keeper>,
}

/// Runs the daemon until a signal asks it to stop, or another one takes over.
pub async fn run(
    config: &Config,
    source: ConfigSource,
    plan: &Plan,
    prepared: Prepared,
    inheritance: Inheritance,
    log: &Log,
) -> Result<(), StartError> {
    let hang_up = if io::stdin().is_terminal() { HangUp::Stops } else { HangUp::Reloads };
    let uncaught = StartError::system;
    let mut signals = StopSignals::catch(hang_up).map_err(uncaught("catch signals"))?;
    let reloads = ReloadSignals::catch(hang_up).map_err(uncaught("catch signals"))?;
    let mut prepared = prepared;
    let (shared, admin) = (std::mem::take(&mut prepared.shared), prepared.admin.take());
    let running = prepared.running;
    let mut daemon = Daemon::start(config, plan, prepared, &inheritance.lessons).await?;
    warn_of_tls(config, &daemon.live.state());
    let reloader = Reloader::new(source, Arc::clone(&daemon.live));
    let (upgrader, mut requests) = Upgrader::new(daemon.keeper.program().to_owned(), running);
    let upgrader = Arc::new(upgrader);
    let mut reloading = JoinSet::new();
    reloading.spawn(follow_signals(reloads, Arc::clone(&reloader), Arc::clone(&upgrader)));
    reloading.spawn(follow_file(Arc::clone(&reloader)));
    let socket = admin::Socket::open(config, &daemon.live, &reloader, &upgrader, admin);
    let page = daemon.page.take().and_then(|port| Page::serve(port, &daemon.live, &reloader));
    let monitor = daemon.monitor(&reloader, log);
    daemon.learn(&inheritance.accept().await);
    service::ready();
    reloading.spawn(service::feed_watchdog(daemon.pulse.clone()));
    let successor = loop {
        tokio::select! {
            signal = signals.next() => {
                tracing::info!(signal, "stopping");
                break None;
            }
            Some(request) = requests.recv() => tokio::select! {
                succeeded = daemon.succeed(&shared, socket.as_ref()) => match succeeded {
                    Ok(successor) => break Some((successor, request)),
                    // Whoever asked may be gone.
                    Err(why) => drop(request.send(Err(why))),
                },
                signal = signals.next() => {
                    tracing::info!(signal, "stopping, without a successor");
                    daemon.dismiss().await;
                    break None;
                }
            }
        }
    };
    drop((reloading, requests, shared));
    let drain = successor.is_some().then(|| daemon.live.state().http.drain_timeout);
    tokio::spawn(hurry(signals, daemon.stop.clone(), drain));
    if let Some((successor, request)) = successor {
        daemon.hand_over(successor, request, socket, page, monitor).await;
    } else {
        service::stopping();
        drop((socket, page));
        // Until the end it can be seen that it comes.
        daemon.stop().await;
        drop(monitor);
    }
    Ok(())
}

/// Cuts what is open at the next signal; where a successor has taken over, only what is still open `drain`
/// after it, or at the one after that.
async fn hurry(mut signals: StopSignals, stop: StopHandle, drain: Option<Duration>) {
    let mut signal = signals.next().await;
    if let Some(drain) = drain {
        tracing::info!(signal, "what is open is to end");
        stop.advance(Phase::Draining);
        signal = timeout(drain, signals.next()).await.unwrap_or("the end of the time for that");
    }
    tracing::warn!(signal, "stopping at once");
    stop.advance(Phase::Stopping);
}

/// Another program at our path takes over; else the configuration is read again.
async fn follow_signals(
    mut signals: ReloadSignals,
    reloader: Arc<Reloader>,
    upgrader: Arc<Upgrader>,
) {
    loop {
        let signal = signals.next().await;
        // What is wrong is logged.
        if upgrader.is_due() {
            let _ = upgrader.upgrade().await;
        } else {
            let _ = reloader.reload(signal).await;
        }
    }
}

impl Daemon {
    /// Starts everything; redirection begins last, when all that it leads to is there.
    pub async fn start(
        config: &Config,
        plan: &Plan,
        prepared: Prepared,
        lessons: &[Lesson],
    ) -> Result<Self, StartError> {
        let Prepared { opened, ports, page, kernel, keeper, .. } = prepared;
        let Opened { listeners, .. } = opened;
        let keeper = Arc::new(keeper);
        let traffic_log = open_traffic_log(config).await?;
        let ledger = Arc::new(Ledger::new(config.server.workers.get(), traffic_log));
        let not_counted = kernel.as_ref().and_then(|kernel| kernel.not_counted.clone());
        let interception = kernel.map(|kernel| interception(config, kernel, &keeper));
        let state = State::new(config, interception, ledger);
        count_backends(&state, not_counted);
        let live = Live::new(state);
        let (stop, stopped) = stop_signal();
        let pulse = Pulse::new(config.server.workers);
        let workers = start_workers(listeners, &live, &pulse, &stopped)?;
        watch_backends(&live);
        watch_room(&live);
        let daemon = Self { live, stop, workers, pulse, stopped, ports, page, keeper };
        if let Err(error) = daemon.start_intercepting(plan, lessons).await {
            daemon.stop().await;
            return Err(error);
        }
        tracing::info!("ready");
        Ok(daemon)
    }

    /// Lets it be watched, until what is returned is dropped.
    fn monitor(&mut self, reloader: &Arc<Reloader>, log: &Log) -> Monitor {
        let vitals = Vitals::new(
            Arc::clone(&self.live),
            Arc::clone(reloader),
            self.pulse.clone(),
            self.stopped.clone(),
            log.dropped_lines(),
        );
        Monitor::serve(std::mem::take(&mut self.ports), vitals)
    }

    async fn start_intercepting(&self, plan: &Plan, lessons: &[Lesson]) -> Result<(), StartError> {
        let interception = self.live.state().interception.clone();
        let (Some(interception), Some(cgroup)) = (interception, &plan.cgroup) else {
            return Ok(());
        };
        if let Some(events) = interception.take_events()? {
            tokio::spawn(log_events(events));
        }
        self.learn(lessons);
        let mut learner = Learner::start(&self.live);
        learner.warm_start(&interception).await;
        first_beats(&self.pulse).await;
        interception.begin(cgroup)?;
        tracing::info!(cgroup = %cgroup.display(), "attached");
        if plan.monitored {
            let mut prover = PathProver::new(Arc::clone(&interception), self.pulse.clone());
            prover.first().await;
            tokio::spawn(prover.run(self.stopped.clone()));
        }
        tokio::spawn(learner.run(interception));
        Ok(())
    }

    /// Learns what a predecessor knows.
    fn learn(&self, lessons: &[Lesson]) {
        if let Some(interception) = &self.live.state().interception {
            for lesson in lessons {
                interception.learn(lesson, Instant::now());
            }
        }
    }

    /// What a successor must know of names.
    fn lessons(&self) -> Vec<Lesson> {
        let interception = self.live.state().interception.clone();
        interception.map(|it| it.lessons(Instant::now())).unwrap_or_default()
    }

    /// Who does what takes a capability.
    pub(super) fn keeper(&self) -> Arc<Keeper> {
        Arc::clone(&self.keeper)
    }

    /// Ends a successor that has not taken over yet.
    async fn dismiss(&self) {
        let keeper = self.keeper();
        // A panic has been told of.
        let _ = tokio::task::spawn_blocking(move || keeper.dismiss()).await;
    }

    /// Has a successor take over.
    async fn succeed(
        &self,
        shared: &Sockets,
        admin: Option<&admin::Socket>,
    ) -> Result<Successor, String> {
        let admin = admin.map(admin::Socket::share).transpose();
        let sockets = shared.try_clone(admin.map_err(|error| error.to_string())?);
        let sockets = sockets.map_err(|error| error.to_string())?;
        let (lessons, keeper) = (self.lessons(), self.keeper());
        tracing::info!("another daemon is to take over");
        let started =
            tokio::task::spawn_blocking(move || Successor::start(&keeper, sockets, &lessons));
        let successor = started.await.map_err(|error| error.to_string()).flatten();
        successor.inspect_err(|error| tracing::error!(error, "no successor: this one goes on"))
    }

    /// A successor has all that is new; what is open here may go on for a while.
    async fn hand_over(
        self,
        successor: Successor,
        request: UpgradeRequest,
        socket: Option<admin::Socket>,
        page: Option<Page>,
        monitor: Monitor,
    ) {
        let state = self.live.state();
        if let Some(interception) = &state.interception {
            interception.hand_over();
        }
        let pid = successor.pid;
        tracing::info!(pid, "another daemon has taken over");
        service::handed_over(pid);
        // What was learned while it started, too.
        successor.let_go(&self.lessons());
        // Whoever asked may be gone.
        let _ = request.send(Ok(pid));
        drop((page, monitor));
        let left = socket.map(|socket| tokio::spawn(socket.leave()));
        self.end(Phase::Retiring, state.http.upgrade_timeout).await;
        drop(left);
    }

    /// Stops in the order that harms nobody: redirection first, then new connections, then, when
    /// they are done or their time is up, the open ones.
    pub async fn stop(self) {
        let state = self.live.state();
        if let Some(interception) = &state.interception {
            interception.detach();
        }
        self.end(Phase::Draining, state.http.drain_timeout).await;
    }

    /// Takes nothing new; what is open may end, for as long as `patience` lasts.
    async fn end(self, phase: Phase, patience: Duration) {
        let begun = Instant::now();
        let state = self.live.state();
        self.stop.advance(phase);
        let stop = self.stop.clone();
        tokio::spawn(async move {
            sleep(patience).await;
            stop.advance(Phase::Stopping);
        });
        let workers = self.workers;
        let joined =
            tokio::task::spawn_blocking(move || workers.into_iter().try_for_each(JoinHandle::join));
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("a worker ended in a panic");
        }
        last_closes(&state).await;
        if let Some(log) = state.ledger.traffic_log() {
            close_traffic_log(log, begun + patience).await;
        }
        report_backends(&state);
        end(self.keeper).await;
        report(&state);
    }
}

/// Waits for every worker to turn; if one does not for long, the kernel's part will know.
async fn first_beats(pulse: &Pulse) {
    let begun = Instant::now();
    while pulse.oldest() == 0 && begun.elapsed() < FIRST_BEATS {
        sleep(Duration::from_millis(5)).await;
    }
}

/// What the keeper keeps goes with it.
async fn end(keeper: Arc<Keeper>) {
    if tokio::task::spawn_blocking(move || keeper.end()).await.is_err() {
        tracing::error!("the end of the keeper ended in a panic");
    }
}

/// Before the first connection is accepted, so that nothing is missed.
async fn open_traffic_log(config: &Config) -> Result<Option<Arc<TrafficLog>>, StartError> {
    let Some(config) = config.traffic_log.clone() else { return Ok(None) };
    let opening = tokio::task::spawn_blocking(move || TrafficLog::open(&config)).await;
    let ended = |error| StartError::system("open the traffic log")(io::Error::other(error));
    Ok(Some(opening.map_err(ended)??))
}

/// What waits is written in what is left of the time that a stop may take.
async fn close_traffic_log(log: &Arc<TrafficLog>, deadline: Instant) {
    let deadline = deadline.max(Instant::now() + LAST_WRITES);
    let closing = Arc::clone(log);
    let closed = tokio::task::spawn_blocking(move || closing.close(deadline)).await;
    if closed.is_err() {
        tracing::error!("the traffic log ended in a panic");
    }
    for accounts in log.accounts() {
        tracing::info!(
            target: "dispa::traffic",
            sink = accounts.sink,
            place = accounts.place,
            observed = accounts.observed,
            written = accounts.written,
            queued = accounts.queued,
            spilled = accounts.spilled,
            dropped = accounts.dropped(),
            reasons = ?accounts.dropped,
            "traffic log"
        );
    }
}

/// Before anything connects, so that nothing is missed.
fn count_backends(state: &State, not_counted: Option<String>) {
    if let Some(interception) = &state.interception {
        let numbers = state.backends.all().iter().map(|backend| backend.number);
        interception.count_backends(numbers, not_counted);
    }
}

/// A connection has ended only when the other side has acknowledged it, which it may put off; while the
/// kernel counts, that is waited for, a little.
async fn last_closes(state: &State) {
    let Some(interception) = &state.interception else { return };
    let is_open = |backend: &Backend| {
        let counts = interception.backend_counts(backend.number).ok().flatten();
        counts.is_some_and(|counts| counts.closed < counts.opened)
    };
    let end = Instant::now() + LAST_CLOSES;
    while Instant::now() < end && state.backends.all().iter().any(|it| is_open(it)) {
        sleep(Duration::from_millis(5)).await;
    }
}

/// TLS for intercepted domains can only be handed on to targets that speak it.
fn warn_of_tls(config: &Config, state: &State) {
    let intercepts = state.interception.is_some() && !config.rules.is_empty();
    let speaks_tls = state.backends.all().iter().any(|backend| backend.scheme == Scheme::Https);
    if intercepts && config.intercept.ports.contains(&443) && !speaks_tls {
        tracing::warn!(
            "no target has an https:// url: TLS for intercepted domains passes to where it was going"
        );
    }
}

fn interception(config: &Config, kernel: Kernel, keeper: &Arc<Keeper>) -> Interception {
    let Kernel { interceptor, doors, is_inside, .. } = kernel;
    let (intercept, rules) = (&config.intercept, &config.rules);
    let backends = config.backend_addresses();
    Interception::new(interceptor, doors, intercept, rules, backends, keeper, is_inside)
}

fn start_workers(
    listeners: Vec<Listeners>,
    live: &Arc<Live>,
    pulse: &Pulse,
    stopped: &Stopped,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    let mut workers = Vec::with_capacity(listeners.len());
    for (number, listeners) in listeners.into_iter().enumerate() {
        let start = WorkerStart {
            number,
            listeners,
            live: Arc::clone(live),
            pulse: pulse.clone(),
            stopped: stopped.clone(),
        };
        let worker = thread::Builder::new()
            .name(format!("dispa-worker-{number}"))
            .spawn(move || {
                if let Err(error) = start.run() {
                    tracing::error!(number, %error, "a worker cannot run");
                }
            })
            .map_err(StartError::system("start a worker thread"))?;
        workers.push(worker);
    }
    Ok(workers)
}

/// What the kernel counted for each backend, if it did.
fn report_backends(state: &State) {
    let Some(interception) = &state.interception else { return };
    for backend in state.backends.all() {
        match interception.backend_counts(backend.number) {
            Ok(Some(counts)) => tracing::info!(
                target: "dispa::backend",
                target = &*backend.name,
                opened = counts.opened,
                failed = counts.failed,
                closed = counts.closed,
                bytes_out = counts.bytes_out,
                bytes_in = counts.bytes_in,
                retransmits = counts.retransmits,
                rtt_us = counts.rtt_us(),
                "backend"
            ),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the kernel's counts cannot be read"),
        }
    }
}

/// The last line of the log: what the kernel side did, and that nothing is left open.
fn report(state: &State) {
    let Some(interception) = &state.interception else {
        tracing::info!("stopped");
        return;
    };
    match interception.report() {
        Ok(report) => tracing::info!(
            redirected_v4 = report.outcomes.of(Counter::Redirected4),
            redirected_v6 = report.outcomes.of(Counter::Redirected6),
            paused = report.outcomes.of(Counter::Paused),
            stale_heartbeat = report.outcomes.of(Counter::StaleHeartbeat),
            other_netns = report.outcomes.of(Counter::OtherNetns),
            bound_device = report.outcomes.of(Counter::BoundDevice),
            own_socket = report.outcomes.of(Counter::OwnSocket),
            no_slot = report.outcomes.of(Counter::NoSlot),
            dns_v4 = report.outcomes.of(Counter::Dns4),
            dns_v6 = report.outcomes.of(Counter::Dns6),
            excluded = report.outcomes.of(Counter::Excluded),
            over_limit = report.outcomes.of(Counter::OverLimit),
            over_share = report.outcomes.of(Counter::OverShare),
            attributed = report.attributed.attributed,
            unnamed = report.attributed.unnamed,
            unattributed = report.attributed.unknown,
            remote = report.attributed.remote,
            not_learned = report.not_learned,
            tls_passed = state.tls_passed(),
            retries_refused = state.retries_refused(),
            slots_in_use = report.slots_in_use,
            slots_held = report.slots_held,
            "stopped"
        ),
        Err(error) => tracing::warn!(%error, "stopped; the kernel's counters cannot be read"),
    }
}
