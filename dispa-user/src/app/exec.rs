//! `dispa exec`: one command in an intercepted cgroup of its own.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, PipeWriter, Read as _, Write as _},
    os::{
        fd::{AsRawFd as _, RawFd},
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    sync::Arc,
};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::{
    Prepared, Sockets, StartError,
    daemon::{Daemon, Plan},
};
use crate::{
    config::Config,
    control::{HangUp, StopSignals},
    keeper::{Keeper, Ward},
    kernel::{Cgroup2, CgroupPaths},
};

/// The hidden command that a child runs as before it becomes the user's.
pub(crate) const ENTER: &str = "__enter";

/// What the shell says for a command that cannot be run (POSIX, 2.8.2).
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// `EX_OSERR` of sysexits.h.
const CANNOT: u8 = 71;

/// Names of the cgroups made here; the rest is the process id of their maker.
const PREFIX: &str = "dispa-exec-";

/// A command in a cgroup of its own that waits for its connections to be intercepted, and what intercepts
/// them.
#[derive(Debug)]
pub struct Execution {
    cgroup: OwnCgroup,
    command: Child,
    /// The command goes on when it reads a byte, and ends where there is none.
    gate: PipeWriter,
    plan: Plan,
    prepared: Prepared,
}

impl Execution {
    /// Starts `command`, which keeps all that we may do, and gives that up.
    pub fn prepare(
        config: &Config,
        events: bool,
        command: &[OsString],
    ) -> Result<Self, StartError> {
        let cgroup = OwnCgroup::create()?;
        let (command, gate) =
            spawn(&cgroup.path, command).map_err(StartError::system("start the command"))?;
        let cgroup_path = Some(cgroup.path.clone());
        let plan = Plan { explicit: None, cgroup: cgroup_path, events, monitored: false };
        let prepared =
            Prepared::new(config, &plan, Ward::Command(command.id()), Sockets::default())?;
        prepared.give_up_privileges()?;
        Ok(Self { cgroup, command, gate, plan, prepared })
    }

    /// Lets the command run with its connections intercepted; its exit status, 128 + n for signal n.
    pub async fn run(self, config: &Config) -> Result<u8, StartError> {
        let Self { cgroup, command, mut gate, plan, prepared } = self;
        let mut signals =
            StopSignals::catch(HangUp::Stops).map_err(StartError::system("catch signals"))?;
        // A daemon may be writing that log; what one command asks for is told to whoever runs it.
        let config = &Config { traffic_log: None, ..config.clone() };
        let daemon = Daemon::start(config, &plan, prepared, &[]).await?;
        let keeper = daemon.keeper();
        // It may have been ended by the signal that ends us next.
        let _ = gate.write_all(&[1]);
        let status = wait(command, &mut signals, &keeper).await.map_err(StartError::system("wait"));
        daemon.stop().await;
        drop(cgroup);
        status.map(exit_code)
    }
}

/// The hidden command: joins the cgroup, waits for the gate to open, then becomes the user's command.
/// Returns only if it cannot, with the exit code that says why.
#[must_use]
pub fn enter(cgroup: &Path, gate: RawFd, command: &[OsString]) -> u8 {
    if let Err(error) = fs::write(cgroup.join("cgroup.procs"), "0") {
        eprintln!("dispa: cannot join the cgroup {}: {error}", cgroup.display());
        return CANNOT;
    }
    let opened = File::open(format!("/proc/self/fd/{gate}")).and_then(|mut gate| {
        let mut byte = [0];
        gate.read_exact(&mut byte)
    });
    // It is not the command's. Whoever was to open the gate has said why it did not.
    if opened.is_err() || nix::unistd::close(gate).is_err() {
        return CANNOT;
    }
    let Some((program, arguments)) = command.split_first() else { return 64 };
    let error = Command::new(program).args(arguments).exec();
    eprintln!("dispa: cannot run {}: {error}", program.display());
    if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE }
}

/// The command, and what lets it go on.
fn spawn(cgroup: &Path, command: &[OsString]) -> io::Result<(Child, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    // Inherited by this one child; there is no other thread that could start one.
    fcntl(&reader, FcntlArg::F_SETFD(FdFlag::empty()))?;
    let child = Command::new("/proc/self/exe")
        .arg(ENTER)
        .arg(cgroup)
        .arg(reader.as_raw_fd().to_string())
        .arg("--")
        .args(command)
        .spawn()?;
    Ok((child, writer))
}

/// Waits for the command. A terminal's Ctrl-C reaches it by itself; SIGTERM is passed on, and so is
/// the end of the terminal, as one.
async fn wait(
    mut child: Child,
    signals: &mut StopSignals,
    keeper: &Arc<Keeper>,
) -> io::Result<ExitStatus> {
    let mut ended = tokio::task::spawn_blocking(move || child.wait());
    loop {
        tokio::select! {
            status = &mut ended => return status.map_err(io::Error::other)?,
            signal = signals.next() => {
                if signal != "SIGINT" {
                    terminate(keeper).await;
                }
            }
        }
    }
}

/// The keeper does it: the command may have become another user's.
async fn terminate(keeper: &Arc<Keeper>) {
    let keeper = Arc::clone(keeper);
    let asked = tokio::task::spawn_blocking(move || keeper.terminate()).await;
    if let Ok(Err(error)) = asked {
        tracing::warn!(%error, "the command is not asked to end");
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// A cgroup for one command, below our own, removed when dropped.
#[derive(Debug)]
struct OwnCgroup {
    path: PathBuf,
    parent: PathBuf,
}

impl OwnCgroup {
    fn create() -> Result<Self, StartError> {
        let parent = Cgroup2::find()?.own()?;
        remove_stale(&parent);
        let path = parent.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&path).map_err(StartError::system("create a cgroup"))?;
        Ok(Self { path, parent })
    }

    /// What the command left running goes back to where it would have been without us.
    fn move_leftovers(&self) {
        let Ok(processes) = fs::read_to_string(self.path.join("cgroup.procs")) else { return };
        for process in processes.lines() {
            // One that has just ended cannot be moved and need not be.
            let _ = fs::write(self.parent.join("cgroup.procs"), process);
        }
    }
}

impl Drop for OwnCgroup {
    fn drop(&mut self) {
        self.move_leftovers();
        if let Err(error) = fs::remove_dir(&self.path) {
            tracing::warn!(cgroup = %self.path.display(), %error, "cannot remove the cgroup");
        }
    }
}

/// Removes the cgroups of `dispa exec` runs that were killed; one with processes in it stays.
fn remove_stale(parent: &Path) {
    for cgroup in fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if is_stale(&cgroup) {
            let _ = fs::remove_dir(cgroup);
        }
    }
}

/// Whether it was made for one command, by a process that is gone.
fn is_stale(cgroup: &Path) -> bool {
    let name = cgroup.file_name().and_then(|name| name.to_str());
    let maker = name.and_then(|name| name.strip_prefix(PREFIX));
    maker.is_some_and(|maker| !Path::new("/proc").join(maker).exists())
}

/// The cgroups of all `dispa exec` runs that were killed.
#[must_use]
pub fn stale_cgroups() -> Vec<PathBuf> {
    let Ok(hierarchy) = Cgroup2::find() else { return Vec::new() };
    let all = CgroupPaths::open(&hierarchy).map(|paths| paths.all(usize::MAX)).unwrap_or_default();
    let directory = |(_, path): (u64, String)| hierarchy.root().join(path.trim_start_matches('/'));
    all.into_iter().map(directory).filter(|it| is_stale(it)).collect()
}
