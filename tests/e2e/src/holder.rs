//! A program that opens connections and holds them.

use std::{collections::BTreeMap, fs, process::Command, time::Duration};

use anyhow::{Result, ensure};
use dispa_lab::Process;

use crate::Site;

const HOLD: &str = include_str!("../clients/hold.py");

const SOON: Duration = Duration::from_secs(30);

/// Connections by who answers them.
pub type Counts = BTreeMap<String, usize>;

/// Connections that are held until this is dropped or let go.
#[derive(Debug)]
pub struct Holder {
    process: Process,
    counts: Counts,
}

impl Holder {
    /// Opens `count` connections to the site, in this child of its cgroup; `how` they begin is in
    /// `clients/hold.py`.
    pub fn start(site: &Site<'_>, child: &str, count: usize, how: &str) -> Result<Self> {
        let directory = site.cgroup.path().join(child);
        fs::create_dir_all(&directory)?;
        let mut command = Command::new("sh");
        command.args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec python3 -c "$@""#]);
        command.arg(&directory).arg(HOLD);
        Self::run(command.args([&Site::V4.to_string(), "80", Site::NAME]), count, how)
    }

    /// Opens `count` connections from elsewhere: `command` runs Python, and may be given a script.
    pub fn elsewhere(
        command: &mut Command,
        to: [&str; 3],
        count: usize,
        how: &str,
    ) -> Result<Self> {
        Self::run(command.args(["-c", HOLD]).args(to), count, how)
    }

    fn run(command: &mut Command, count: usize, how: &str) -> Result<Self> {
        let process = Process::start(command.args([&count.to_string(), how]))?;
        let line = process.wait_for_line(SOON, |line| line.text.starts_with('{'))?;
        let counts: Counts = serde_json::from_str(&line.text)?;
        ensure!(counts.values().sum::<usize>() == count, "{counts:?}");
        Ok(Self { process, counts })
    }

    /// All of them.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many were answered by `who`.
    #[must_use]
    pub fn by(&self, who: &str) -> usize {
        self.counts.get(who).copied().unwrap_or_default()
    }

    /// Closes them all.
    pub fn let_go(self) -> Result<()> {
        self.process.finish(SOON)?.success().map(drop)
    }
}
