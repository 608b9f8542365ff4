//! A terminal with a program in it, as a person has it: `tmux` keeps the screen.

use std::{
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{
    poll::until,
    process::{Process, run},
};

/// What `tmux` itself takes, on a machine busy with other tests.
const SOON: Duration = Duration::from_secs(20);

/// What is on the screen once the program has ended, before its status.
const ENDED: &str = "ended with ";

/// Runs the program and says how it ended; the screen stays.
const SCRIPT: &str = "\"$@\"; echo \"ended with $?\"; exec sleep 600";

/// A screen of some size, and a program that runs on it.
#[derive(Debug)]
pub struct Terminal {
    socket: String,
    /// Its end is that of all that runs in it.
    _server: Process,
}

impl Terminal {
    /// Runs `command` on a screen of this size.
    pub fn start(command: &Command, width: u16, height: u16) -> Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let socket = format!("dispa-lab-{}-{number}", std::process::id());
        let mut server = Command::new("tmux");
        server.args(["-D", "-u", "-f", "/dev/null", "-L", &socket]).env("LANG", "C.UTF-8");
        let terminal = Self { _server: Process::start(&mut server)?, socket };
        until(SOON, "tmux", || terminal.tmux(&["set-option", "-g", "status", "off"]).ok())?;
        let size = [width.to_string(), height.to_string()];
        let new =
            ["new-session", "-d", "-x", &size[0], "-y", &size[1], "--", "sh", "-c", SCRIPT, "sh"];
        let mut arguments = new.to_vec();
        for word in std::iter::once(command.get_program()).chain(command.get_args()) {
            arguments.push(word.to_str().context("a word that is no UTF-8")?);
        }
        terminal.tmux(&arguments)?;
        Ok(terminal)
    }

    /// What is on the screen, line by line, without what is blank at the ends of lines.
    pub fn screen(&self) -> Result<Vec<String>> {
        let text = self.tmux(&["capture-pane", "-p"])?;
        Ok(text.lines().map(|line| line.trim_end().to_owned()).collect())
    }

    /// Waits until the screen is as `wanted`.
    pub fn wait(&self, what: &str, wanted: impl Fn(&[String]) -> bool) -> Result<Vec<String>> {
        let looked = until(SOON, what, || self.screen().ok().filter(|screen| wanted(screen)));
        looked.with_context(|| {
            format!("the screen is\n{}", self.screen().unwrap_or_default().join("\n"))
        })
    }

    /// Types a key, as `tmux` calls it.
    pub fn press(&self, key: &str) -> Result<()> {
        self.tmux(&["send-keys", key]).map(drop)
    }

    /// Gives the screen another size.
    pub fn resize(&self, width: u16, height: u16) -> Result<()> {
        let (width, height) = (width.to_string(), height.to_string());
        self.tmux(&["resize-window", "-x", &width, "-y", &height]).map(drop)
    }

    /// Waits for the program's end; its exit status.
    pub fn ended(&self) -> Result<i32> {
        let status = |line: &String| line.strip_prefix(ENDED)?.parse().ok();
        until(SOON, "the end of the program", || self.screen().ok()?.iter().find_map(status))
    }

    fn tmux(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("tmux");
        command.args(["-u", "-L", &self.socket]).args(arguments).env("LANG", "C.UTF-8");
        run(&mut command, SOON)?.success()
    }
}
