//! The cgroups of the machine, and the way processes are started in them.

use std::{fs, os::unix::process::CommandExt as _, path::Path, process::Command};

use anyhow::{Context as _, Error, Result};

/// Where the daemon runs: below the root, where its own programs are attached.
pub(crate) const DAEMON: &str = "/sys/fs/cgroup/daemon";
/// Where the clients run.
pub(crate) const CLIENTS: &str = "/sys/fs/cgroup/clients";

/// This binary, whose name as a process differs from its name as a file.
const SELF: &str = "/proc/self/exe";

/// Makes both.
pub(crate) fn create() -> Result<()> {
    for path in [DAEMON, CLIENTS] {
        fs::create_dir(path).with_context(|| format!("cannot make {path}"))?;
    }
    Ok(())
}

/// A command that will run inside, under the process id it is started with.
pub(crate) fn command(cgroup: &str, program: &str) -> Command {
    let mut command = Command::new(SELF);
    command.args(["in", cgroup, program]);
    command
}

/// A command that runs this binary inside.
pub(crate) fn own_command(cgroup: &str) -> Command {
    command(cgroup, SELF)
}

/// The child's part: moves itself inside, then becomes the program. Returns only if it cannot.
pub(crate) fn enter(cgroup: &str, program: &str, arguments: &[&str]) -> Result<()> {
    fs::write(Path::new(cgroup).join("cgroup.procs"), "0")
        .with_context(|| format!("cannot join {cgroup}"))?;
    let error = Command::new(program).args(arguments).exec();
    Err(Error::new(error).context(format!("cannot run {program}")))
}
