//! bpf-linker, which turns LLVM bitcode into a BPF object.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::{cargo, shell};

const VERSION: &str = "0.13.0";
/// Versions that build the object alike: all of this series.
const ACCEPTED: &str = "bpf-linker 0.13.";
/// The LLVM of Debian's package llvm-22-dev; bpf-linker's must not be older than the compiler's.
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

/// The linker, installed first where it is missing.
pub(crate) fn ensure() -> Result<PathBuf> {
    if let Some(linker) = installed() {
        return Ok(linker);
    }
    shell::step(
        &format!("install bpf-linker {VERSION}"),
        "it makes BPF objects of LLVM bitcode; takes about a minute",
    );
    let mut command = cargo::host();
    command
        .args(["install", &format!("bpf-linker@{VERSION}"), "--locked"])
        .args(["--no-default-features", "--features", "llvm-22"])
        .env("LLVM_PREFIX", LLVM_PREFIX);
    shell::run(&mut command)?;
    installed().context("bpf-linker was installed but does not run")
}

/// The linker, where there is one of the right version.
pub(crate) fn installed() -> Option<PathBuf> {
    let candidates = [shell::on_path("bpf-linker"), cargo::installed("bpf-linker")];
    candidates.into_iter().flatten().find(|linker| is_accepted(linker))
}

fn is_accepted(linker: &Path) -> bool {
    let output = Command::new(linker).arg("--version").stderr(Stdio::null()).output();
    output.is_ok_and(|output| output.stdout.starts_with(ACCEPTED.as_bytes()))
}
