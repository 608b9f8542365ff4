//! The checks that need no kernel: format, lints, docs, and what we depend on.

use anyhow::Result;

use crate::{cargo, shell};

const CARGO_DENY: &str = "cargo-deny@0.20.2";
/// The daemon's side and the kernel's: two workspaces, two lockfiles.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "dispa-ebpf/Cargo.toml"];

/// Every file as rustfmt writes it, those of the kernel programs included.
pub(crate) fn format() -> Result<()> {
    shell::step("check the format", "cargo fmt makes it right");
    for manifest in MANIFESTS {
        shell::run(cargo::host().args(["fmt", "--all", "--check", "--manifest-path", manifest]))?;
    }
    Ok(())
}

/// The host's code without a warning; the kernel's is built with warnings denied.
pub(crate) fn clippy() -> Result<()> {
    shell::step("check the lints", "clippy, warnings denied");
    let scope = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    shell::run(cargo::host().args(scope))
}

/// Docs that build without a warning, broken links included.
pub(crate) fn docs() -> Result<()> {
    shell::step("build the docs", "rustdoc, warnings denied");
    let mut command = cargo::host();
    command.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "--deny warnings");
    shell::run(&mut command)
}

/// Licences, bans and sources of all dependencies, by the rules of deny.toml.
pub(crate) fn dependencies() -> Result<()> {
    if cargo::installed("cargo-deny").or_else(|| shell::on_path("cargo-deny")).is_none() {
        shell::step("install cargo-deny", "it judges licences and sources; takes some minutes");
        shell::run(cargo::host().args(["install", CARGO_DENY, "--locked"]))?;
    }
    shell::step("check the dependencies", "licences, bans and sources; rules in deny.toml");
    for manifest in MANIFESTS {
        let mut command = cargo::host();
        command.args(["deny", "--manifest-path", manifest, "check", "--hide-inclusion-graph"]);
        shell::run(command.args(["licenses", "bans", "sources"]))?;
    }
    Ok(())
}
