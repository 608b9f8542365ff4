//! The packages of Python that the lab takes, in an environment of their own.

use std::fs;
use std::process::Command;

use anyhow::Result;

use crate::{shell, workspace};

/// What is wanted, to the last version.
const REQUIREMENTS: &str = "tests/lab/requirements.txt";
/// The virtual environment; the lab looks for its interpreter there.
const PYTHON: &str = "target/lab/python";
/// Says what is installed: the requirements it was made for.
const STAMP: &str = "target/lab/python/installed";

/// Makes the environment, unless it is there.
pub(crate) fn ensure() -> Result<()> {
    let requirements = fs::read_to_string(workspace::path(REQUIREMENTS))?;
    let stamp = workspace::path(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == requirements) {
        return Ok(());
    }
    shell::step(&format!("install Python's packages to {PYTHON}"), "more of the lab's clients");
    let directory = workspace::path(PYTHON);
    shell::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&directory))?;
    let mut pip = Command::new(directory.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    shell::run(pip.arg(workspace::path(REQUIREMENTS)))?;
    Ok(fs::write(stamp, requirements)?)
}
