//! The daemon from start to stop.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
};

use dispa_common::Counter;

use super::{
    StartError,
    doors::{self, Opened},
};
use crate::{
    config::{CgroupChoice, Config},
    control::{Learner, Signals, log_events},
    kernel::{Cgroup2, Doors, Interceptor, Options, monotonic_ns, require},
    life::{Phase, Pulse, StopHandle, Stopped, stop_signal},
    net::SlotRoute,
    proxy::{Listeners, WorkerStart},
    state::{Interception, State},
};

/// What a run of the daemon is to do, beyond its configuration.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the explicit door is; `None` for no such door.
    pub explicit: Option<SocketAddr>,
    /// The cgroup directory to attach to; `None` for no interception.
    pub cgroup: Option<PathBuf>,
    /// Whether each outcome of the kernel's hooks is logged.
    pub events: bool,
}

impl Plan {
    /// What the configuration itself asks for.
    pub fn of(config: &Config, events: bool) -> Result<Self, StartError> {
        let cgroup = match &config.intercept.cgroup {
            _ if !config.intercept.enabled => None,
            CgroupChoice::Auto => Some(Cgroup2::find()?.root().to_owned()),
            CgroupChoice::Path(path) => Some(path.clone()),
        };
        Ok(Self { explicit: Some(config.server.bind_address), cgroup, events })
    }
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    state: Arc<State>,
    stop: StopHandle,
    workers: Vec<JoinHandle<()>>,
    route: Option<SlotRoute>,
}

/// Runs the daemon until a signal asks it to stop.
pub async fn run(config: &Config, plan: Plan) -> Result<(), StartError> {
    let mut signals = Signals::catch().map_err(StartError::system("catch signals"))?;
    let daemon = Daemon::start(config, plan).await?;
    let signal = signals.stop().await;
    tracing::info!(signal, "stopping");
    let stop = daemon.stop.clone();
    tokio::spawn(async move {
        let signal = signals.stop().await;
        tracing::warn!(signal, "stopping at once");
        stop.advance(Phase::Stopping);
    });
    daemon.stop().await;
    Ok(())
}

impl Daemon {
    /// Starts everything; redirection comes last, when all that it leads to is there.
    pub async fn start(config: &Config, plan: Plan) -> Result<Self, StartError> {
        if plan.cgroup.is_some() {
            require()?;
        }
        let opened =
            doors::open(plan.explicit, plan.cgroup.is_some(), config.server.workers).await?;
        let Opened { listeners, doors, mut route } = opened;
        let started = Self::start_behind(config, &plan, listeners, doors, &mut route).await;
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
    ) -> Result<Self, StartError> {
        let interception = doors.map(|doors| load(config, doors, plan.events)).transpose()?;
        let state = State::new(config, interception);
        let (stop, stopped) = stop_signal();
        let workers = start_workers(config, listeners, &state, &stopped)?;
        let mut daemon = Self { state, stop, workers, route: None };
        if let Err(error) = daemon.start_intercepting(plan).await {
            daemon.stop().await;
            return Err(error);
        }
        daemon.route = route.take();
        tracing::info!("ready");
        Ok(daemon)
    }

    async fn start_intercepting(&self, plan: &Plan) -> Result<(), StartError> {
        let (Some(interception), Some(cgroup)) = (&self.state.interception, &plan.cgroup) else {
            return Ok(());
        };
        if let Some(events) = interception.take_events() {
            tokio::spawn(log_events(events));
        }
        let mut learner = Learner::start(Arc::clone(&self.state));
        learner.warm_start(interception).await;
        interception.attach(cgroup)?;
        tracing::info!(cgroup = %cgroup.display(), "attached");
        tokio::spawn(learner.run());
        Ok(())
    }

    /// Stops in the order that harms nobody: redirection first, then new connections, then, when
    /// they are done or their time is up, the open ones.
    pub async fn stop(self) {
        if let Some(interception) = &self.state.interception {
            interception.detach();
        }
        self.stop.advance(Phase::Draining);
        let workers = self.workers;
        let joined =
            tokio::task::spawn_blocking(move || workers.into_iter().try_for_each(JoinHandle::join));
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("a worker ended in a panic");
        }
        if let Some(route) = self.route {
            remove(route).await;
        }
        report(&self.state);
    }
}

async fn remove(route: SlotRoute) {
    if let Err(error) = route.remove().await {
        tracing::warn!(%error, "the route for IPv6 slots stays; the next start removes it");
    }
}

fn load(config: &Config, doors: Doors, events: bool) -> Result<Interception, StartError> {
    let kernel = Interceptor::load(Options { doors, events })?;
    Ok(Interception::new(kernel, doors, config.intercept.ports.clone()))
}

fn start_workers(
    config: &Config,
    listeners: Vec<Listeners>,
    state: &Arc<State>,
    stopped: &Stopped,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    let pulse = Pulse::new(config.server.workers, monotonic_ns());
    let mut workers = Vec::with_capacity(listeners.len());
    for (number, listeners) in listeners.into_iter().enumerate() {
        let start = WorkerStart {
            number,
            listeners,
            state: Arc::clone(state),
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
            slots_in_use = report.slots_in_use,
            slots_held = report.slots_held,
            "stopped"
        ),
        Err(error) => tracing::warn!(%error, "stopped; the kernel's counters cannot be read"),
    }
}
