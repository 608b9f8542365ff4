//! `package`: what is given to others: a Debian package, and an archive with a static program.

mod contents;
mod deb;
mod stage;
mod tarball;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;

use crate::{build, ebpf, setup, shell, workspace};
pub(crate) use deb::Deb;

/// Where packages are put.
const PACKAGES: &str = "target/package";

/// A form to give dispa away in.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For Debian 12 and its like
    Deb,
    /// For any Linux: a program without libraries, to be unpacked anywhere
    Tarball,
}

/// Makes the form asked for, or all, of the program given or else of one built for it.
pub(crate) fn package(form: Option<Form>, binary: Option<&Path>) -> Result<()> {
    setup::ensure(setup::PACKAGE)?;
    for form in Form::value_variants().iter().filter(|it| form.is_none_or(|form| form == **it)) {
        let binary = binary.map_or_else(|| form.program(), |it| Ok(it.to_owned()))?;
        let made = form.pack(&binary)?;
        shell::step(&made.display().to_string(), "docs/install.md tells how to install it");
    }
    Ok(())
}

impl Form {
    /// Builds the program for it.
    fn program(self) -> Result<PathBuf> {
        ebpf::build()?;
        match self {
            Self::Deb => build::daemon(true).map(|()| build::released_daemon()),
            Self::Tarball => build::static_daemon(),
        }
    }

    /// Packs the program, and checks what came of it.
    pub(crate) fn pack(self, binary: &Path) -> Result<PathBuf> {
        match self {
            Self::Deb => {
                let made = Deb::of(binary)?.build()?;
                deb::check(&made).map(|()| made)
            }
            Self::Tarball => tarball::build(binary),
        }
    }
}

fn place(name: &str) -> PathBuf {
    workspace::path(PACKAGES).join(name)
}

/// The version that a program says it is.
fn version_of(binary: &Path) -> Result<String> {
    let said = shell::output(Command::new(binary).arg("--version"))?;
    Ok(said.trim().trim_start_matches("dispa ").to_owned())
}
