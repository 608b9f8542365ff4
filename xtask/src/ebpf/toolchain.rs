//! Finds a Rust toolchain that has the sources of core: no `core` comes ready-made for BPF.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{cargo, shell};

/// Where a toolchain keeps the sources of the standard library, below its root.
const SOURCES: &str = "lib/rustlib/src/rust/library/core";

/// A toolchain that can compile for BPF.
pub(crate) struct Toolchain {
    pub(crate) name: String,
    pub(crate) cargo: PathBuf,
    pub(crate) rustc: PathBuf,
    /// What to look at when compiling fails.
    pub(crate) hint: &'static str,
}

/// A rustup nightly with rust-src, else Debian's second toolchain.
pub(crate) fn find() -> Result<Toolchain> {
    rustup_nightly().or_else(debian).context(
        "no Rust toolchain here has the sources of core, which BPF needs; \
         `rustup toolchain install nightly --component rust-src` gets one, and so does \
         `apt-get install rustc-web cargo-web rust-web-src` on Debian 12",
    )
}

/// The newest of rustup's nightlies that has rust-src.
pub(crate) fn rustup_nightly() -> Option<Toolchain> {
    let home = env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".rustup")))?;
    let entries = fs::read_dir(home.join("toolchains")).ok()?;
    // In this order the undated one, which `rustup update` renews, comes last.
    let root = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|root| is_nightly(root) && root.join(SOURCES).is_dir())
        .max()?;
    Some(Toolchain {
        name: format!("rustup's {}", root.file_name()?.to_string_lossy()),
        cargo: root.join("bin/cargo"),
        rustc: root.join("bin/rustc"),
        hint: "cannot build the kernel object; where bpf-linker refuses the bitcode, this nightly \
               has a newer LLVM than bpf-linker's 22: without its rust-src component, Debian's \
               toolchain is used instead",
    })
}

fn is_nightly(root: &Path) -> bool {
    root.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"nightly"))
}

fn debian() -> Option<Toolchain> {
    let (rustc, cargo) = (PathBuf::from("/usr/bin/rustc"), PathBuf::from("/usr/bin/cargo"));
    let has_sources = rustc.is_file() && sysroot(&rustc).ok()?.join(SOURCES).is_dir();
    (has_sources && cargo.is_file()).then(|| Toolchain {
        name: "Debian's rustc and cargo".to_owned(),
        cargo,
        rustc,
        hint: "cannot build the kernel object",
    })
}

fn sysroot(rustc: &Path) -> Result<PathBuf> {
    let mut command = cargo::other(rustc);
    Ok(shell::output(command.args(["--print", "sysroot"]))?.trim().into())
}
