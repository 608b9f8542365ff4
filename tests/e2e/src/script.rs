//! Programs in Python and Node, with the packages that xtask installs for them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use dispa_lab::Cgroup;

/// The text of a program.
#[derive(Clone, Copy, Debug)]
pub enum Script {
    /// Python 3.
    Python(&'static str),
    /// An ES module for Node.
    Node(&'static str),
}

impl Script {
    /// The command that runs it outside every cgroup of the lab, to which arguments may be added.
    pub fn command(self) -> Result<Command> {
        self.run_by(|program| Command::new(program))
    }

    /// The command that runs it inside `cgroup`.
    pub fn command_in(self, cgroup: &Cgroup) -> Result<Command> {
        self.run_by(|program| cgroup.command(program))
    }

    fn run_by(self, runner: impl FnOnce(&Path) -> Command) -> Result<Command> {
        match self {
            Self::Python(text) => {
                let mut command = runner(&dispa_lab::python()?);
                command.args(["-c", text]);
                Ok(command)
            }
            Self::Node(text) => {
                let mut command = runner(Path::new("node"));
                // A module given as text looks for packages where it is run.
                command.current_dir(node_packages()?);
                command.args(["--input-type=module", "-e", text, "--"]);
                Ok(command)
            }
        }
    }
}

fn node_packages() -> Result<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab/node");
    directory.canonicalize().context("Node's packages are missing: run `cargo xtask setup`")
}
