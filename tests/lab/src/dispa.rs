//! The daemon under test, as a user runs it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    cgroup::Cgroup,
    config::Config,
    lab::Lab,
    log::Record,
    poll::until,
    process::{Process, run},
};

/// Loading, resolving and attaching take well under a second on an idle machine.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// What a log line may take to appear after its cause, on a machine busy with other tests.
const LOG_TIMEOUT: Duration = Duration::from_secs(20);

/// Longer than the daemon gives its open connections.
const STOP_TIMEOUT: Duration = Duration::from_mins(1);

/// A running daemon, attached to a cgroup and living in it too: what it connects to passes the
/// same programs as everyone else's connections, as on a host where the root is intercepted.
#[derive(Debug)]
pub struct Dispa {
    process: Process,
    file: PathBuf,
    /// Those that have taken over since, the last one last. Killed when this is dropped.
    successors: Successors,
}

/// Processes that are not our children.
#[derive(Debug, Default)]
struct Successors(Mutex<Vec<u32>>);

impl Successors {
    fn ids(&self) -> MutexGuard<'_, Vec<u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_there(id: u32) -> bool {
        Path::new("/proc").join(id.to_string()).exists()
    }
}

impl Drop for Successors {
    fn drop(&mut self) {
        for id in self.ids().iter().filter_map(|id| i32::try_from(*id).ok()) {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

/// A daemon that has ended as it was asked to.
#[derive(Debug)]
pub struct Stopped {
    /// Its last record, `stopped`: what the kernel side did over its life.
    pub summary: Record,
    /// All of its records.
    pub log: Vec<Record>,
}

impl Dispa {
    /// The binary: the one `DISPA_BIN` names, or else the workspace's release build.
    pub fn binary() -> Result<PathBuf> {
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release/dispa");
        let binary = env::var_os("DISPA_BIN").map_or(built, PathBuf::from);
        binary.canonicalize().with_context(|| {
            let place = binary.display();
            format!("no daemon at {place}: run `cargo xtask build --release`, or set DISPA_BIN")
        })
    }

    /// Starts the daemon inside `cgroup`, to intercept `cgroup`, and waits until it is ready.
    pub fn start(lab: &Lab, cgroup: &Cgroup, config: &Config) -> Result<Self> {
        Self::start_binary(&Self::binary()?, lab, cgroup, config)
    }

    /// [`Dispa::start`] for this binary and no other.
    pub fn start_binary(
        binary: &Path,
        lab: &Lab,
        cgroup: &Cgroup,
        config: &Config,
    ) -> Result<Self> {
        let file = Self::write(lab, config, cgroup.path())?;
        let mut command = Self::command_with(binary, cgroup, config, &file);
        let process = Process::start(&mut command)?;
        let dispa = Self { process, file, successors: Successors::default() };
        dispa.wait_for(READY_TIMEOUT, |record| record.message() == "ready")?;
        Ok(dispa)
    }

    /// The command that runs the daemon in the foreground inside `cgroup`, with its file written.
    pub fn command(binary: &Path, lab: &Lab, cgroup: &Cgroup, config: &Config) -> Result<Command> {
        let file = Self::write(lab, config, cgroup.path())?;
        Ok(Self::command_with(binary, cgroup, config, &file))
    }

    fn command_with(binary: &Path, cgroup: &Cgroup, config: &Config, file: &Path) -> Command {
        let mut command = cgroup.command(binary);
        command.arg("-c").arg(file);
        if config.wants_kernel_events() {
            command.arg("-v");
        }
        if config.wants_page() {
            // Its file says where the token is.
            command.env_remove("DISPA__ADMIN__TOKEN_FILE");
        } else {
            command.env("DISPA__ADMIN__ADDRESS", "");
        }
        command
    }

    /// Writes the file of a daemon that intercepts the cgroup in this directory.
    pub fn write(lab: &Lab, config: &Config, cgroup: &Path) -> Result<PathBuf> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        lab.file(&format!("dispa-{number}.toml"), &config.text(cgroup))
    }

    /// The file of its configuration.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Its process id: that of the last one that has taken over.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.successors.ids().last().copied().unwrap_or_else(|| self.process.id())
    }

    /// Has the program at its path take over (`dispa upgrade`); the process id of the one that has.
    pub fn upgrade(&self) -> Result<u32> {
        let mut command = Command::new(Self::binary()?);
        let told = run(command.arg("upgrade").arg("-c").arg(&self.file), READY_TIMEOUT)?;
        let told = told.success()?;
        let id = told.split_ascii_whitespace().find_map(|word| word.parse().ok());
        let id = id.with_context(|| format!("no process in {told:?}"))?;
        self.successors.ids().push(id);
        Ok(id)
    }

    /// A figure of its memory in KiB, such as `VmRSS` or `VmHWM` (proc(5), `/proc/PID/status`).
    pub fn memory_kib(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let figure = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        figure.with_context(|| format!("no {field} in\n{status}"))
    }

    /// Forgets its peak of memory: `VmHWM` begins anew at what it has now (proc(5), `clear_refs`).
    pub fn forget_peak(&self) -> Result<()> {
        let file = format!("/proc/{}/clear_refs", self.id());
        fs::write(&file, "5").with_context(|| format!("cannot write {file}"))
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> Vec<Record> {
        records(&self.process)
    }

    /// The records so far with this message.
    #[must_use]
    pub fn records(&self, message: &str) -> Vec<Record> {
        self.log().into_iter().filter(|record| record.message() == message).collect()
    }

    /// Waits for a record, past ones included, with this message and these texts in its fields.
    pub fn record(&self, message: &str, fields: &[(&str, &str)]) -> Result<Record> {
        self.wait_for(LOG_TIMEOUT, |record| record.message() == message && record.has(fields))
            .with_context(|| format!("no {message:?} with {fields:?} in the log"))
    }

    /// Waits for a record that fits `wanted`, past ones included.
    pub fn wait_for(&self, timeout: Duration, wanted: impl Fn(&Record) -> bool) -> Result<Record> {
        let fits = |text: &str| Record::parse(text).filter(|record| wanted(record));
        let line = self.process.wait_for_line(timeout, |line| fits(&line.text).is_some())?;
        fits(&line.text).context("the line awaited is a record")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.successors.ids().last().copied();
        match id {
            Some(id) => Ok(kill(Pid::from_raw(i32::try_from(id)?), signal)?),
            None => self.process.signal(signal),
        }
    }

    /// Kills it (`kill -9`) without waiting for its end.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::SIGKILL)
    }

    /// Asks it to stop (SIGTERM), and checks that it does so in good order.
    pub fn stop(self) -> Result<Stopped> {
        self.signal(Signal::SIGTERM)?;
        self.ended()
    }

    /// Waits for its end, once it has been asked to stop, and checks that all is in good order.
    pub fn ended(self) -> Result<Stopped> {
        for id in self.successors.ids().drain(..) {
            until(STOP_TIMEOUT, "its end", || (!Successors::is_there(id)).then_some(()))?;
        }
        let finished = self.process.finish(STOP_TIMEOUT)?;
        finished.success()?;
        let log: Vec<_> = finished.stderr().lines().filter_map(Record::parse).collect();
        let summary = log.last().cloned().context("it logged nothing")?;
        ensure!(summary.message() == "stopped", "its last record is {summary:?}");
        Ok(Stopped { summary, log })
    }
}

fn records(process: &Process) -> Vec<Record> {
    process.lines().iter().filter_map(|line| Record::parse(&line.text)).collect()
}
