//! The archive for hosts that are not Debian's: one directory, in the layout of /opt.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::contents::{self, Places};
use super::stage::Stage;
use super::{place, version_of};
use crate::shell;

const PLACES: Places = Places {
    manual: "dispa/share/man/man1",
    completions: [
        "dispa/share/completions/dispa.bash",
        "dispa/share/completions/_dispa",
        "dispa/share/completions/dispa.fish",
    ],
    docs: "dispa/share/doc",
    examples: "dispa/share/doc/examples",
    monitoring: "dispa/share/monitoring",
};

/// Packs a program that needs no libraries, and says where.
pub(super) fn build(binary: &Path) -> Result<PathBuf> {
    let stage = Stage::new(place("tarball"))?;
    stage.copy_program(binary, "dispa/dispa")?;
    stage.strip("dispa/dispa")?;
    stage.copy("config/service.toml", "dispa/config/config.toml")?;
    stage.copy("config/dispa.service", "dispa/share/systemd/dispa.service")?;
    stage.copy("config/dispa.sysusers", "dispa/share/systemd/dispa.sysusers")?;
    stage.copy("package/opt.conf", "dispa/share/systemd/opt.conf")?;
    stage.copy("LICENSE", "dispa/share/doc/LICENSE")?;
    contents::put(&stage, binary, &PLACES)?;
    let archive = place(&format!("dispa-{}-x86_64-linux.tar.gz", version_of(binary)?));
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--gzip", "--create"]);
    tar.arg("--file").arg(&archive).arg("--directory").arg(stage.root()).arg("dispa");
    shell::step(&format!("pack {}", archive.display()), "for hosts of any kind");
    shell::run(&mut tar)?;
    Ok(archive)
}
