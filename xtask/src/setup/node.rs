//! The packages of Node that the lab takes, exactly those of its lock file.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{shell, workspace};

/// What is wanted, and what that is made of to the last byte.
const FILES: [&str; 2] = ["package.json", "package-lock.json"];
/// Where they are installed; the lab looks for them there.
const NODE: &str = "target/lab/node";
/// Says what is installed: the lock file it was installed by.
const STAMP: &str = "target/lab/node/installed";

/// Installs the packages, unless they are here.
pub(crate) fn ensure() -> Result<()> {
    let lock = fs::read_to_string(workspace::path("tests/lab/package-lock.json"))?;
    let stamp = workspace::path(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    shell::step(&format!("install Node's packages to {NODE}"), "more of the lab's clients");
    let directory = workspace::path(NODE);
    fs::create_dir_all(&directory)?;
    for file in FILES {
        fs::copy(workspace::path("tests/lab").join(file), directory.join(file))
            .with_context(|| format!("cannot copy {file}"))?;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]).arg(&directory);
    shell::run(&mut npm)?;
    Ok(fs::write(stamp, lock)?)
}
