//! What a daemon could leave behind on the host.

use std::{process::Command, time::Duration};

use anyhow::Result;
use dispa_lab::{Cgroup, run};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Everything of a cgroup and of the namespace that a daemon changes; compared before and after.
#[derive(Debug, PartialEq, Eq)]
pub struct Traces {
    /// Kernel programs attached to the cgroup, as `bpftool` lists them.
    pub programs: String,
    /// Processes in the cgroup.
    pub processes: Vec<u32>,
    /// Cgroups below it.
    pub children: Vec<String>,
    /// Routes and rules of the namespace, of all tables and both families.
    pub routes: [String; 4],
}

impl Traces {
    /// Looks at everything now.
    pub fn of(cgroup: &Cgroup) -> Result<Self> {
        Ok(Self {
            programs: programs(cgroup)?,
            processes: cgroup.processes()?,
            children: cgroup.children()?,
            routes: [
                output("ip", &["-4", "route", "show", "table", "all"])?,
                output("ip", &["-6", "route", "show", "table", "all"])?,
                output("ip", &["-4", "rule"])?,
                output("ip", &["-6", "rule"])?,
            ],
        })
    }
}

/// What is attached to `cgroup`, one program a line.
fn programs(cgroup: &Cgroup) -> Result<String> {
    output("bpftool", &["cgroup", "show", &cgroup.path().display().to_string()])
}

fn output(program: &str, arguments: &[&str]) -> Result<String> {
    run(Command::new(program).args(arguments), TIMEOUT)?.success()
}
