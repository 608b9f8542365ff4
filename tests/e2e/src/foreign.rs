//! Somebody else's kernel program in the way of connections.

use std::{path::Path, process::Command, time::Duration};

use anyhow::Result;
use dispa_lab::{Cgroup, Process};

const SCRIPT: &str = include_str!("../clients/foreign_program.py");

const TIMEOUT: Duration = Duration::from_secs(30);

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// By a link, which ends with the process that holds it.
    Link,
    /// In the older way, which lasts as long as the cgroup.
    Lasting,
}

/// A `connect4` program called `foreign` that sends one address's connections to another, loaded and
/// attached by a process that has nothing in common with dispa.
#[derive(Debug)]
pub struct ForeignProgram {
    _holder: Process,
}

impl ForeignProgram {
    /// Attaches it to `cgroup`, after whatever is attached there already.
    pub fn attach(cgroup: &Cgroup, from: &str, to: &str, how: Attachment) -> Result<Self> {
        Self::attach_to(cgroup.path(), from, to, how)
    }

    /// [`ForeignProgram::attach`] to the cgroup in this directory.
    pub fn attach_to(cgroup: &Path, from: &str, to: &str, how: Attachment) -> Result<Self> {
        let how = if how == Attachment::Link { "link" } else { "attach" };
        let mut command = Command::new("python3");
        command.args(["-c", SCRIPT]).arg(cgroup).args([from, to, how]);
        let holder = Process::start(&mut command)?;
        holder.wait_for_line(TIMEOUT, |line| line.text == "attached")?;
        Ok(Self { _holder: holder })
    }
}
