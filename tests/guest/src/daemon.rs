//! The daemon under test: a child with a log.

use std::{
    io::{BufRead as _, BufReader, Read},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{cgroup, wait::until, world};

/// Longer than the daemon gives its open connections.
const STOP_LIMIT: Duration = Duration::from_mins(1);

/// How long a line may take to appear after its cause.
const LOG_LIMIT: Duration = Duration::from_secs(10);

/// A running daemon, in a cgroup below the one it intercepts, as on a host.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
}

impl Daemon {
    /// Starts one and waits until it is ready.
    pub(crate) fn start(flags: &[&str]) -> Result<Self> {
        let mut command = cgroup::command(cgroup::DAEMON, world::DISPA);
        command.args(["-c", world::CONFIG]).args(flags).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start the daemon")?;
        let stderr = child.stderr.take().context("the daemon has no stderr")?;
        let log = Arc::default();
        let reader = collect(stderr, Arc::clone(&log));
        let daemon = Self { child, log, reader };
        match daemon.line("its log to say that it is ready", |line| line.ends_with(" ready")) {
            Ok(_) => Ok(daemon),
            Err(error) => {
                // It must not meddle with the steps that follow.
                daemon.end(Signal::SIGKILL)?;
                Err(error)
            }
        }
    }

    /// Waits for a line of the log, past ones included.
    pub(crate) fn line(&self, what: &str, fits: impl Fn(&str) -> bool) -> Result<String> {
        until(LOG_LIMIT, what, || self.lines().into_iter().find(|line| fits(line)))
    }

    /// The log so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let process = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(process, signal).with_context(|| format!("cannot send {signal}"))
    }

    /// Sends a signal that ends it, and waits for the end: how it ended, and its whole log.
    pub(crate) fn end(mut self, signal: Signal) -> Result<(ExitStatus, Vec<String>)> {
        self.signal(signal)?;
        let ended = || self.child.try_wait().transpose();
        let status = until(STOP_LIMIT, "the daemon to end", ended)??;
        // Its end has closed the pipe; nobody else holds it.
        let _ = self.reader.join();
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok((status, log))
    }
}

/// Keeps every line, and shows it on the console.
fn collect(pipe: impl Read + Send + 'static, log: Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            println!("dispa: {line}");
            log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    })
}

/// Runs `dispa doctor` to its end.
pub(crate) fn doctor() -> Result<Output> {
    let mut command = Command::new(world::DISPA);
    command.args(["doctor", "-c", world::CONFIG]).output().context("cannot run the doctor")
}
