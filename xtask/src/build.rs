//! `build`: the daemon, with the kernel programs in it.

use std::path::PathBuf;

use std::process::Command;

use anyhow::{Result, bail};

use crate::{cargo, ebpf, shell, workspace};

/// Its programs need nothing of the system but the kernel.
const STATIC_TARGET: &str = "x86_64-unknown-linux-musl";

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

/// Builds the daemon without a library, and says where it is.
pub(crate) fn static_daemon() -> Result<PathBuf> {
    if shell::on_path("rustup").is_none() {
        bail!("a static program takes the target {STATIC_TARGET}, which rustup brings: install it");
    }
    shell::step(&format!("add the target {STATIC_TARGET}"), "nothing happens if it is here");
    shell::run(Command::new("rustup").args(["target", "add", STATIC_TARGET]))?;
    shell::step("build the static daemon", "package dispa-user, binary dispa");
    let mut build = cargo::host();
    build.args(["build", "--package", "dispa-user", "--release", "--target", STATIC_TARGET]);
    shell::run(&mut build)?;
    Ok(workspace::path("target").join(STATIC_TARGET).join("release/dispa"))
}
