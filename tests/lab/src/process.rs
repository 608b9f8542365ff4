//! A child process with a deadline: its lines are collected as they come, and it is killed when
//! its owner lets go of it.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read, Write as _},
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::poll::until;

/// Lines of output shown when something goes wrong.
const TRANSCRIPT_LINES: usize = 60;

/// Which of its two outputs a process wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line a process wrote, without its end.
#[derive(Clone, Debug)]
pub struct Line {
    /// Where it was written.
    pub stream: Stream,
    /// What was written; bytes that are no UTF-8 are replaced.
    pub text: String,
}

/// A running child.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    output: Arc<Output>,
}

/// A child that has ended, and all it wrote.
#[derive(Debug)]
pub struct Finished {
    name: String,
    status: ExitStatus,
    lines: Vec<Line>,
}

/// Runs `command` to its end, which must come within `timeout`.
pub fn run(command: &mut Command, timeout: Duration) -> Result<Finished> {
    Process::start(command)?.finish(timeout)
}

impl Process {
    /// Starts `command` with both its outputs collected and its input a pipe.
    pub fn start(command: &mut Command) -> Result<Self> {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let output = Arc::new(Output::default());
        if let Some(pipe) = child.stdout.take() {
            output.collect(Stream::Stdout, pipe);
        }
        if let Some(pipe) = child.stderr.take() {
            output.collect(Stream::Stderr, pipe);
        }
        Ok(Self { child, name, output })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.output.state().lines.clone()
    }

    /// Waits for a line, past ones included, that fits `wanted`. Fails when there can be none any
    /// more or `timeout` has passed, with the end of what was written instead.
    pub fn wait_for_line(
        &self,
        timeout: Duration,
        mut wanted: impl FnMut(&Line) -> bool,
    ) -> Result<Line> {
        let mut seen = 0;
        let mut found = None;
        let waiting = |state: &mut State| {
            let fresh = &state.lines[seen..];
            found = fresh.iter().find(|line| wanted(line)).cloned();
            seen = state.lines.len();
            found.is_none() && state.open > 0
        };
        let guard = self.output.state();
        let (state, _) = self
            .output
            .changed
            .wait_timeout_while(guard, timeout, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        let written = transcript(&state.lines);
        drop(state);
        found.with_context(|| format!("{} did not write the line awaited\n{written}", self.name))
    }

    /// Writes `text` to its standard input.
    pub fn write(&mut self, text: &str) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("its input is closed")?;
        stdin.write_all(text.as_bytes())?;
        Ok(stdin.flush()?)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.id())?;
        kill(Pid::from_raw(id), signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Waits for its end and for all it wrote. It is killed if that takes longer than `timeout`.
    pub fn finish(mut self, timeout: Duration) -> Result<Finished> {
        drop(self.child.stdin.take());
        let what = format!("the end of {}", self.name);
        let ended = until(timeout, &what, || match self.child.try_wait() {
            Ok(status) => status.filter(|_| self.output.state().open == 0).map(Ok),
            Err(error) => Some(Err(error)),
        });
        let status = ended.with_context(|| transcript(&self.lines()))??;
        Ok(Finished { name: self.name.clone(), status, lines: self.lines() })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where it has ended and been waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Finished {
    /// Its exit code; none if a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it, if one did.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// All it wrote to standard output.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.text(Stream::Stdout)
    }

    /// All it wrote to standard error.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.text(Stream::Stderr)
    }

    /// Its standard output, provided that it succeeded.
    pub fn success(&self) -> Result<String> {
        let Self { name, status, .. } = self;
        ensure!(status.success(), "{name}: {status}\n{}", transcript(&self.lines));
        Ok(self.stdout())
    }

    /// Its standard output, provided that it failed with this exit code.
    pub fn failure(&self, code: i32) -> Result<String> {
        if self.code() != Some(code) {
            let Self { name, status, .. } = self;
            bail!("{name}: {status}, not exit code {code}\n{}", transcript(&self.lines));
        }
        Ok(self.stdout())
    }

    fn text(&self, stream: Stream) -> String {
        let lines = self.lines.iter().filter(|line| line.stream == stream);
        lines.map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
    }
}

/// What both outputs have brought so far.
#[derive(Debug, Default)]
struct Output {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<Line>,
    /// How many of the two outputs may still bring more.
    open: u32,
}

impl Output {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads `pipe` to its end on a thread of its own.
    fn collect(self: &Arc<Self>, stream: Stream, pipe: impl Read + Send + 'static) {
        self.state().open += 1;
        let output = Arc::clone(self);
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            while let Some(text) = next_line(&mut pipe) {
                output.state().lines.push(Line { stream, text });
                output.changed.notify_all();
            }
            output.state().open -= 1;
            output.changed.notify_all();
        });
    }
}

/// The next line; none at the end, and after a failed read as well.
fn next_line(pipe: &mut BufReader<impl Read>) -> Option<String> {
    let mut line = Vec::new();
    let length = pipe.read_until(b'\n', &mut line).unwrap_or(0);
    (length > 0).then(|| {
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        String::from_utf8_lossy(line).into_owned()
    })
}

/// The end of what was written, for the message of a failure.
fn transcript(lines: &[Line]) -> String {
    let earlier = lines.len().saturating_sub(TRANSCRIPT_LINES);
    let begin = format!("it wrote {earlier} lines, and then:");
    lines[earlier..].iter().fold(begin, |mut text, line| {
        let mark = if line.stream == Stream::Stdout { "out" } else { "err" };
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {mark}: {}", line.text);
        text
    })
}

#[cfg(test)]
mod tests;
