//! `test-service`: the package in the hands of an administrator, on a Debian that has booted.
//!
//! The machine is emulated, without hardware help, and has no network. Its clock counts
//! instructions: how busy this machine is changes nothing of what the guest measures.

mod guest;
mod image;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::package::{Deb, Form};
use crate::{build, ebpf, failure, setup, shell, workspace};

/// What the guest is told to do, and with what.
const ERRANDS: &str = "tests/service";

/// Every step of tests/service/run.sh, in order. One that was not tried is as bad as one that failed.
const STEPS: [&str; 18] = [
    "boots",
    "installs",
    "intercepts-nothing-yet",
    "keeps-files-to-itself",
    "intercepts-when-told",
    "attaches-at-the-root-under-the-sandbox",
    "knows-who-asked",
    "reloads",
    "refuses-a-wrong-configuration",
    "upgrades-without-a-gap",
    "survives-a-crash",
    "survives-a-hang",
    "restarts-after-an-upgrade",
    "stops",
    "leaves-nothing-when-killed",
    "removes",
    "purges",
    "lives-in-opt",
];

/// Packs the program given, or else one built for it, and has a guest try it.
pub(crate) fn test(binary: Option<&Path>) -> Result<()> {
    failure::require_root("the guest's Debian is unpacked with its owners and devices")?;
    setup::ensure(setup::SERVICE)?;
    let binary = binary.map_or_else(released, |it| Ok(it.to_owned()))?;
    let image = image::ensure()?;
    let errands = pack(&binary)?;
    shell::step("boot the guest", "what it says follows; it takes some minutes");
    check(&guest::run(&image, &errands)?)
}

fn released() -> Result<PathBuf> {
    ebpf::build()?;
    build::daemon(true)?;
    Ok(build::released_daemon())
}

/// An archive with what the guest is to do and the packages it is to do it with.
fn pack(binary: &Path) -> Result<PathBuf> {
    let directory = workspace::path(image::PLACE).join("errands");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    for entry in fs::read_dir(workspace::path(ERRANDS))? {
        let entry = entry?;
        fs::copy(entry.path(), directory.join(entry.file_name()))?;
    }
    let deb = || Deb::of(binary).map(Deb::uncompressed);
    fs::rename(deb()?.build()?, directory.join("first.deb"))?;
    fs::rename(deb()?.again().build()?, directory.join("second.deb"))?;
    fs::rename(Form::Tarball.pack(binary)?, directory.join("dispa.tar.gz"))?;
    let archive = directory.with_extension("tar");
    let mut tar = Command::new("tar");
    // A device has whole sectors.
    tar.args(["--blocking-factor=1", "--create", "--file"]).arg(&archive);
    shell::run(tar.arg("--directory").arg(&directory).arg("."))?;
    Ok(archive)
}

fn check(lines: &[String]) -> Result<()> {
    let after = |start| lines.iter().filter_map(move |line| line.strip_prefix(start));
    let failed: Vec<_> = after("GUEST FAIL ").collect();
    ensure!(failed.is_empty(), "failed in the guest: {}", failed.join(", "));
    let passed: Vec<_> = after("GUEST PASS ").collect();
    ensure!(passed == STEPS, "passed: {passed:?}\nexpected: {STEPS:?}");
    let done = after("GUEST DONE ").next().unwrap_or_default();
    ensure!(done == format!("{} passed, 0 failed", STEPS.len()), "the end was {done:?}");
    Ok(())
}
