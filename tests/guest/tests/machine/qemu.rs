//! One run of the emulator.

use std::{
    io::{BufRead as _, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::{Console, parts::Parts};

/// The run takes some 15 s on an idle machine, and ten times that on a very busy one.
const DEADLINE: Duration = Duration::from_mins(5);

/// The machine: the least there is, emulated throughout. Its clock counts instructions, one a
/// nanosecond, and jumps where it would only wait: how busy this machine is changes nothing of
/// what the guest measures, and its pauses take no time here.
const MACHINE: [&str; 12] = [
    "-machine",
    "microvm",
    "-accel",
    "tcg",
    "-cpu",
    "max",
    "-icount",
    "shift=0,sleep=off",
    "-m",
    "512",
    "-nodefaults",
    "-no-user-config",
];

/// The console is the emulator's output; a machine that boots again, after a panic too, ends.
const CONSOLE: [&str; 5] = ["-display", "none", "-serial", "stdio", "-no-reboot"];

/// `panic=-1` boots again at once; this machine has no PCI to complain of.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 quiet panic=-1 pci=off";

/// Boots the machine and waits until it has gone off; fails, with what the console showed, if it
/// does not.
pub(super) fn run(parts: &Parts, initramfs: &Path) -> Result<Console> {
    let mut command = Command::new(&parts.qemu);
    command.args(MACHINE).args(CONSOLE);
    command.arg("-kernel").arg(&parts.kernel).arg("-initrd").arg(initramfs);
    command.args(["-append", KERNEL_ARGUMENTS]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut emulator = Emulator(command.spawn().context("cannot start the emulator")?);
    let lines = emulator.lines()?;
    let (text, in_time) = collect(&lines, Instant::now() + DEADLINE);
    ensure!(in_time, "the machine was not done after {DEADLINE:?}; its console says:\n{text}");
    let status = emulator.0.wait()?;
    ensure!(status.success(), "the emulator failed, {status}:\n{text}");
    Ok(Console(text))
}

/// Killed, by its process id, when dropped.
struct Emulator(Child);

impl Emulator {
    /// The lines of both its outputs, as they come.
    fn lines(&mut self) -> Result<Receiver<String>> {
        let (sender, lines) = mpsc::channel();
        send(self.0.stdout.take().context("no output")?, sender.clone());
        send(self.0.stderr.take().context("no error output")?, sender);
        Ok(lines)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Both fail only where it has ended and been waited for already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends each line of `pipe`, from a thread that ends with it.
fn send(pipe: impl Read + Send + 'static, lines: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            if lines.send(line.trim_end().to_owned()).is_err() {
                break;
            }
        }
    });
}

/// The text until both outputs are closed, and whether that was before the deadline.
fn collect(lines: &Receiver<String>, deadline: Instant) -> (String, bool) {
    let mut text = String::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                text.push_str(&line);
                text.push('\n');
            }
            Err(RecvTimeoutError::Disconnected) => return (text, true),
            Err(RecvTimeoutError::Timeout) => return (text, false),
        }
    }
}
