//! What the daemon needs of the system that only a privileged process gets, got before it has threads or
//! reads from the network; then its privileges are given up.

use std::{io, net::SocketAddr, os::unix::net::UnixListener};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{
    Plan, StartError,
    doors::{self, Opened},
    sockets::Sockets,
};
use crate::{
    admin::{MonitoringPorts, PagePort},
    attribution::kernel_selection,
    config::{Config, Dns, Scope},
    keeper::{Keeper, Ward},
    kernel::{Cgroup2, Doors, Interceptor, Options, give_up_privileges, require},
    state::identity,
};

/// All that is opened, loaded and attached, with the kernel's part paused.
#[derive(Debug)]
pub struct Prepared {
    pub(super) opened: Opened,
    pub(super) ports: MonitoringPorts,
    pub(super) page: Option<PagePort>,
    pub(super) kernel: Option<Kernel>,
    pub(super) keeper: Keeper,
    /// The sockets that a successor would go on with.
    pub(super) shared: Sockets,
    /// The file of this program, when it was started.
    pub(super) running: Option<(u64, u64)>,
    /// The admin socket, where a predecessor had one.
    pub(super) admin: Option<UnixListener>,
}

/// The kernel's part.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) interceptor: Interceptor,
    pub(super) doors: Doors,
    /// Whether our own connections pass our own programs.
    pub(super) is_inside: bool,
    /// Why nothing is counted for the backends, if nothing is.
    pub(super) not_counted: Option<String>,
}

impl Prepared {
    /// Gets all that `plan` needs, going on with `sockets` where they are what it needs. What fails ends the
    /// process; nothing is left of it then.
    pub fn new(
        config: &Config,
        plan: &Plan,
        ward: Ward,
        sockets: Sockets,
    ) -> Result<Self, StartError> {
        if plan.cgroup.is_some() {
            require()?;
        }
        if let Some(door) = plan.explicit {
            config.refuse_door(door)?;
        }
        let keeper = Keeper::start(ward).map_err(StartError::system("start the keeper"))?;
        let running = identity(keeper.program());
        raise_descriptor_limit();
        let workers = config.server.workers;
        let transparent = plan.cgroup.is_some();
        let opened = doors::open(plan.explicit, sockets.explicit, transparent, workers, &keeper)?;
        let (mut ports, mut page) = (MonitoringPorts::default(), None);
        if plan.monitored {
            let handed = [sockets.metrics, sockets.health];
            ports = MonitoringPorts::open(&config.monitoring, handed)?;
            page = PagePort::open(&config.admin.page, sockets.page)?;
        }
        let kernel = opened.doors.map(|doors| Kernel::load(config, doors, opened.at, plan));
        let kernel = kernel.transpose()?;
        if let (Some(Kernel { interceptor, .. }), Some(cgroup)) = (&kernel, &plan.cgroup) {
            keeper.programs(&interceptor.attachable()?, cgroup)?;
        }
        let share = || -> io::Result<Sockets> {
            let [metrics, health] = ports.share()?;
            let page = page.as_ref().map(PagePort::share).transpose()?;
            Ok(Sockets { explicit: opened.explicit()?, metrics, health, page, admin: None })
        };
        let shared = share().map_err(StartError::system("share the listeners"))?;
        Ok(Self { opened, ports, page, kernel, keeper, shared, running, admin: sockets.admin })
    }

    /// Gives up what it took; there is no way back. From now on there may be threads.
    pub fn give_up_privileges(&self) -> Result<(), StartError> {
        give_up_privileges()?;
        // Another allocator, or one without this, does without.
        let _ = tikv_jemalloc_ctl::background_thread::write(true);
        Ok(())
    }
}

impl Kernel {
    /// Loads and attaches, paused until there is somebody to serve what is redirected.
    fn load(
        config: &Config,
        doors: Doors,
        explicit: Option<SocketAddr>,
        plan: &Plan,
    ) -> Result<Self, StartError> {
        let options = options(config, doors, explicit, plan.events);
        let mut interceptor = Interceptor::load(&options)?;
        let own = Cgroup2::find().and_then(|mount| mount.own()).map_err(|error| error.to_string());
        let is_inside =
            own.as_ref().ok().zip(plan.cgroup.as_ref()).is_some_and(|(own, attached)| {
                attached.canonicalize().is_ok_and(|attached| own.starts_with(attached))
            });
        let counted =
            own.and_then(|own| interceptor.count_backends(&own).map_err(|it| it.to_string()));
        interceptor.heartbeat().pause()?;
        if let Some(cgroup) = &plan.cgroup {
            interceptor.attach(cgroup)?;
        }
        Ok(Self { interceptor, doors, is_inside, not_counted: counted.err() })
    }
}

fn options(config: &Config, doors: Doors, explicit: Option<SocketAddr>, events: bool) -> Options {
    let intercept = &config.intercept;
    let caught_ports = match intercept.scope {
        Scope::Learned => Vec::new(),
        Scope::All => intercept.ports.clone(),
    };
    let dns = intercept.dns == Dns::Relay;
    let goes_by_process = config.pools.iter().any(|pool| pool.balancing.goes_by_process());
    let clients = intercept.names_processes() || goes_by_process;
    let selection = kernel_selection(intercept);
    Options { doors, events, clients, explicit, selection, dns, caught_ports }
}

/// Every connection takes two descriptors; the soft limit of most hosts is 1,024.
fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}
