//! `build`: the daemon, with the kernel programs in it.

use std::path::PathBuf;

use anyhow::Result;

use crate::{cargo, ebpf, shell, workspace};

/// Builds the kernel object where it is out of date, then the daemon.
pub(crate) fn build(release: bool) -> Result<()> {
    ebpf::build()?;
    daemon(release)
}

/// Builds the daemon alone; the kernel object must be there.
pub(crate) fn daemon(release: bool) -> Result<()> {
    let (what, profile) =
        if release { ("the released daemon", "release") } else { ("the daemon", "dev") };
    shell::step(&format!("build {what}"), "package dispa-user, binary dispa");
    shell::run(cargo::host().args(["build", "--package", "dispa-user", "--profile", profile]))
}

/// Where `daemon(true)` puts it.
pub(crate) fn released_daemon() -> PathBuf {
    workspace::root().join("target/release/dispa")
}
