//! Debian 12's stock kernel for the guest: downloaded and unpacked here, never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::apt::{self, Apt};
use crate::{shell, workspace};

/// Always depends on the newest kernel's own package.
const METAPACKAGE: &str = "linux-image-cloud-amd64";
/// Where the guest's files are kept.
const GUEST: &str = "target/guest";
/// The kernel; kept last, so it being there says that all is.
const KERNEL: &str = "target/guest/vmlinuz";
/// What the guest loads, below the kernel's module directory: pairs of network devices.
const MODULES: [&str; 1] = ["kernel/drivers/net/veth.ko"];

/// Gets the kernel, unless it is here.
pub(crate) fn ensure(apt: &mut Apt) -> Result<()> {
    if workspace::path(KERNEL).is_file() {
        return Ok(());
    }
    apt.update()?;
    let package = kernel_package()?;
    shell::step(&format!("unpack {package} to {GUEST}"), "the guest's kernel; not installed");
    let scratch = workspace::path(GUEST).join("unpack");
    empty(&scratch)?;
    apt::download(&package, &scratch)?;
    let archive = first(&scratch, &package)?;
    shell::run(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(&scratch))?;
    keep(&scratch).context("the kernel package is not laid out as expected")?;
    Ok(fs::remove_dir_all(&scratch)?)
}

fn empty(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    Ok(fs::create_dir_all(directory)?)
}

/// The package of the kernel itself, whose name holds its version.
fn kernel_package() -> Result<String> {
    let depends = shell::output(Command::new("apt-cache").args(["depends", METAPACKAGE]))?;
    let name = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    Ok(name.with_context(|| format!("apt knows no kernel behind {METAPACKAGE}"))?.to_owned())
}

/// Keeps what the guest boots with.
fn keep(unpacked: &Path) -> Result<()> {
    let modules = first(&unpacked.join("lib/modules"), "")?;
    for module in MODULES {
        let module = modules.join(module);
        let name = module.file_name().context("a module without a name")?;
        fs::copy(&module, workspace::path(GUEST).join(name))?;
    }
    fs::rename(first(&unpacked.join("boot"), "vmlinuz-")?, workspace::path(KERNEL))?;
    Ok(())
}

/// The first entry of a directory whose name starts so.
fn first(directory: &Path, start: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(directory)?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start)))
        .with_context(|| format!("{} holds no {start}*", directory.display()))
}
