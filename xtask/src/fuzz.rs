//! `fuzz`: makes up what the network might send, and looks for what breaks on it.
//!
//! The targets are in `fuzz/`, a workspace of its own: its crates are built with the fuzzer's
//! flags, all of which a stable compiler takes as long as no sanitizer is asked for. Our code there
//! has no `unsafe` for one to watch.

use std::fs;

use anyhow::{Context, Result};

use crate::setup::{self, Group};
use crate::{cargo, shell, workspace};

const CARGO_FUZZ: &str = "cargo-fuzz@0.13.2";
/// What fuzzing takes.
const NEEDS: &[Group] = &[Group::Host, Group::Fuzzer];
/// Each attacks one parser; a file of `fuzz/fuzz_targets` and a directory of `fuzz/seeds`.
const TARGETS: [&str; 4] = ["http_head", "http1_forward", "client_hello", "dns_answer"];
/// Where builds are, and the inputs found so far that reach new code: the next run starts there.
const BUILT: &str = "target/fuzz";
/// How long each target runs unless told otherwise, `ci` included.
pub(crate) const SECONDS: u32 = 30;

/// Runs every target for so many seconds; fails at the first input that breaks one.
pub(crate) fn fuzz(seconds: u32) -> Result<()> {
    setup::ensure(NEEDS)?;
    ensure_cargo_fuzz()?;
    TARGETS.into_iter().try_for_each(|target| attack(target, seconds))
}

fn ensure_cargo_fuzz() -> Result<()> {
    if cargo::installed("cargo-fuzz").or_else(|| shell::on_path("cargo-fuzz")).is_none() {
        shell::step("install cargo-fuzz", "it builds and runs fuzz targets; takes about a minute");
        shell::run(cargo::host().args(["install", CARGO_FUZZ, "--locked"]))?;
    }
    Ok(())
}

fn attack(target: &str, seconds: u32) -> Result<()> {
    let found = format!("{BUILT}/corpus/{target}");
    fs::create_dir_all(workspace::path(&found)).with_context(|| found.clone())?;
    shell::step(&format!("fuzz {target}"), &format!("{seconds} s; what breaks it is kept"));
    let mut command = cargo::host();
    command
        .args(["fuzz", "run", "--sanitizer", "none", "--target-dir", BUILT, target])
        .args([&found, &format!("fuzz/seeds/{target}"), "--"])
        .arg(format!("-max_total_time={seconds}"))
        // An input that takes longer, in seconds, counts as one that breaks it.
        .arg("-timeout=5")
        .args(["-verbosity=0", "-print_final_stats=1"]);
    shell::run(&mut command)
}
