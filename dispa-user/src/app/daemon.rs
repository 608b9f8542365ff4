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
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{task::JoinSet, time::sleep};

use super::{
    Log, StartError,
    doors::{self, Opened},
};
use crate::{
    admin::{self, Monitor, MonitoringPorts, Page, PagePort, Vitals},
    attribution::kernel_selection,
    config::{CgroupChoice, Config, Dns, Scheme, Scope},
    control::{
        HangUp, Learner, ReloadSignals, StopSignals, follow_file, log_events, watch_backends,
    },
    kernel::{Cgroup2, Doors, Interceptor, Options, monotonic_ns, require},
    life::{Phase, Pulse, StopHandle, Stopped, stop_signal},
    net::SlotRoute,
    proxy::{Listeners, WorkerStart},
    sink::TrafficLog,
    state::{ConfigSource, Interception, Ledger, Live, Reloader, State},
    upstream::Backend,
};

/// Longer than a Linux peer puts an acknowledgement off (`TCP_DELACK_MAX`, 200 ms).
const LAST_CLOSES: Duration = Duration::from_millis(250);

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
    route: Option<SlotRoute>,
}

/// Runs the daemon until a signal asks it to stop.
pub async fn run(
    config: &Config,
    source: ConfigSource,
    plan: Plan,
    log: &Log,
) -> Result<(), StartError> {
    let hang_up = if io::stdin().is_terminal() { HangUp::Stops } else { HangUp::Reloads };
    let uncaught = StartError::system;
    let mut signals = StopSignals::catch(hang_up).map_err(uncaught("catch signals"))?;
    let reloads = ReloadSignals::catch(hang_up).map_err(uncaught("catch signals"))?;
    let mut daemon = Daemon::start(config, plan).await?;
    warn_of_tls(config, &daemon.live.state());
    let reloader = Reloader::new(source, Arc::clone(&daemon.live));
    let mut reloading = JoinSet::new();
    reloading.spawn(follow_signals(reloads, Arc::clone(&reloader)));
    reloading.spawn(follow_file(Arc::clone(&reloader)));
    let socket = admin::Socket::open(config, &daemon.live, &reloader);
    let page = daemon.page.take().map(|port| Page::serve(port, &daemon.live, &reloader));
    let monitor = daemon.monitor(&reloader, log);
    let signal = signals.next().await;
    tracing::info!(signal, "stopping");
    let stop = daemon.stop.clone();
    tokio::spawn(async move {
        let signal = signals.next().await;
        tracing::warn!(signal, "stopping at once");
        stop.advance(Phase::Stopping);
    });
    drop((socket, page, reloading));
    // Until the end it can be seen that it comes.
    daemon.stop().await;
    drop(monitor);
    Ok(())
}

async fn follow_signals(mut signals: ReloadSignals, reloader: Arc<Reloader>) {
    loop {
        let signal = signals.next().await;
        // What is wrong with it is logged.
        let _ = reloader.reload(signal).await;
    }
}

impl Daemon {
    /// Starts everything; redirection comes last, when all that it leads to is there.
    pub async fn start(config: &Config, plan: Plan) -> Result<Self, StartError> {
        if plan.cgroup.is_some() {
            require()?;
        }
        if let Some(door) = plan.explicit {
            config.refuse_door(door)?;
        }
        raise_descriptor_limit();
        let traffic_log = open_traffic_log(config).await?;
        let ledger = Arc::new(Ledger::new(config.server.workers.get(), traffic_log));
        let opened =
            doors::open(plan.explicit, plan.cgroup.is_some(), config.server.workers).await?;
        let Opened { listeners, doors, mut route } = opened;
        let started = Self::start_behind(config, &plan, listeners, doors, &mut route, ledger).await;
        if let (Err(_), Some(route)) = (&started, route) {
            remove(route).await;
        }
        started
    }

    async fn start_behind(
        config: &Config,
        plan: &Plan,
        listeners: Vec<Listeners>,
        doors: Option<Doors>,
        route: &mut Option<SlotRoute>,
        ledger: Arc<Ledger>,
    ) -> Result<Self, StartError> {
        let (ports, page) = if plan.monitored {
            (MonitoringPorts::open(&config.monitoring)?, PagePort::open(&config.admin.page)?)
        } else {
            (MonitoringPorts::default(), None)
        };
        let interception = doors.map(|doors| load(config, doors, plan.events)).transpose()?;
        let state = State::new(config, interception, ledger);
        count_backends(&state);
        let live = Live::new(state);
        let (stop, stopped) = stop_signal();
        let pulse = Pulse::new(config.server.workers, monotonic_ns());
        let workers = start_workers(listeners, &live, &pulse, &stopped)?;
        watch_backends(&live);
        let mut daemon = Self { live, stop, workers, pulse, stopped, ports, page, route: None };
        if let Err(error) = daemon.start_intercepting(plan).await {
            daemon.stop().await;
            return Err(error);
        }
        daemon.route = route.take();
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

    async fn start_intercepting(&self, plan: &Plan) -> Result<(), StartError> {
        let interception = self.live.state().interception.clone();
        let (Some(interception), Some(cgroup)) = (interception, &plan.cgroup) else {
            return Ok(());
        };
        if let Some(events) = interception.take_events() {
            tokio::spawn(log_events(events));
        }
        let mut learner = Learner::start(&self.live);
        learner.warm_start(&interception).await;
        interception.attach(cgroup)?;
        tracing::info!(cgroup = %cgroup.display(), "attached");
        tokio::spawn(learner.run(interception));
        Ok(())
    }

    /// Stops in the order that harms nobody: redirection first, then new connections, then, when
    /// they are done or their time is up, the open ones.
    pub async fn stop(self) {
        let begun = Instant::now();
        let state = self.live.state();
        if let Some(interception) = &state.interception {
            interception.detach();
        }
        self.stop.advance(Phase::Draining);
        let (stop, drain_timeout) = (self.stop.clone(), state.http.drain_timeout);
        tokio::spawn(async move {
            sleep(drain_timeout).await;
            stop.advance(Phase::Stopping);
        });
        let workers = self.workers;
        let joined =
            tokio::task::spawn_blocking(move || workers.into_iter().try_for_each(JoinHandle::join));
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("a worker ended in a panic");
        }
        if let Some(route) = self.route {
            remove(route).await;
        }
        last_closes(&state).await;
        let log = state.ledger.traffic_log();
        if let Some(log) = log {
            close_traffic_log(log, begun + drain_timeout).await;
        }
        report_backends(&state);
        report(&state);
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
fn count_backends(state: &State) {
    if let Some(interception) = &state.interception {
        interception.count_backends(state.backends.all().iter().map(|backend| backend.number));
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

/// Every connection takes two descriptors; the soft limit of most hosts is 1,024.
fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

async fn remove(route: SlotRoute) {
    if let Err(error) = route.remove().await {
        tracing::warn!(%error, "the route for IPv6 slots stays; the next start removes it");
    }
}

fn load(config: &Config, doors: Doors, events: bool) -> Result<Interception, StartError> {
    let intercept = &config.intercept;
    let caught_ports = match intercept.scope {
        Scope::Learned => Vec::new(),
        Scope::All => intercept.ports.clone(),
    };
    let dns = intercept.dns == Dns::Relay;
    let goes_by_process = config.pools.iter().any(|pool| pool.balancing.goes_by_process());
    let clients = intercept.names_processes() || goes_by_process;
    let selection = kernel_selection(intercept);
    let options = Options { doors, events, clients, selection, dns, caught_ports };
    let kernel = Interceptor::load(&options)?;
    Ok(Interception::new(kernel, doors, intercept, &config.rules, config.backend_addresses()))
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
            attributed = report.attributed.attributed,
            unnamed = report.attributed.unnamed,
            unattributed = report.attributed.unknown,
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
