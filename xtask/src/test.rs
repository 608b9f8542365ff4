//! `test`: everything that must hold before a change lands, cheap things first.

use anyhow::Result;

use crate::{build, cargo, checks, demo, ebpf, failure, setup, shell, tidy};

/// Checks and tests all; with filters, only runs the tests whose name contains one of them.
pub(crate) fn test(filters: &[String]) -> Result<()> {
    require_root()?;
    let everything = filters.is_empty();
    if everything {
        checks::format()?;
        tidy::tidy()?;
    }
    setup::ensure(setup::ALL)?;
    ebpf::build()?;
    if everything {
        checks::clippy()?;
    }
    run(filters)
}

/// The lab makes network namespaces and cgroups and loads kernel programs.
pub(crate) fn require_root() -> Result<()> {
    failure::require_root("the lab needs network namespaces, cgroups and eBPF")
}

/// Unit tests and the lab. The lab drives the released daemon, as its users do.
pub(crate) fn run(filters: &[String]) -> Result<()> {
    build::daemon(true)?;
    shell::step("run the tests", "unit tests and the lab, on this machine's kernel");
    let mut command = cargo::host();
    command.args(["test", "--workspace", "--no-fail-fast", "--"]).args(filters);
    shell::run(&mut command)?;
    if filters.is_empty() {
        shell::step("play the demo", "what it shows is observed, so it is a test as well");
        demo::run(&build::released_daemon())?;
    }
    Ok(())
}
