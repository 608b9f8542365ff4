//! `build-ebpf`: the kernel programs as one object, which dispa-user's build script embeds.
//!
//! The object is made anew only when its sources changed, by content and not by time.

mod linker;
mod stamp;
mod toolchain;

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

pub(crate) use linker::{ensure as ensure_linker, installed as linker_installed};
pub(crate) use toolchain::rustup_nightly;

use crate::{cargo, setup, shell, workspace};
use toolchain::Toolchain;

/// What cargo leaves in its target directory, `target/ebpf`.
const BUILT: &str = "target/ebpf/bpfel-unknown-none/release/dispa-ebpf";
/// Debug info is where the kernel's BTF comes from; our own lints hold here too.
const RUSTFLAGS: &str = "-C debuginfo=2 -C link-arg=--btf -D warnings";

/// Builds the object, with everything that needs, unless the one there is of these very sources.
pub(crate) fn build() -> Result<()> {
    let stamp = stamp::of_sources(workspace::root()).context("cannot read the kernel sources")?;
    if is_current(&stamp) {
        shell::step("keep the kernel object", "its sources have not changed");
        return Ok(());
    }
    setup::ensure(setup::TOOLCHAIN)?;
    let toolchain = toolchain::find()?;
    let linker = linker::ensure()?;
    let start = Instant::now();
    compile(&toolchain, &linker)?;
    let size = publish(&stamp).context("cannot keep the kernel object")?;
    let seconds = start.elapsed().as_secs_f32();
    shell::step(&format!("made {}", stamp::OBJECT), &format!("{size} bytes in {seconds:.1} s"));
    Ok(())
}

fn is_current(stamp: &str) -> bool {
    let made_of = fs::read_to_string(workspace::path(stamp::STAMP));
    workspace::path(stamp::OBJECT).is_file() && made_of.is_ok_and(|made_of| made_of == stamp)
}

fn compile(toolchain: &Toolchain, linker: &Path) -> Result<()> {
    shell::step("compile the kernel programs", &format!("with {}", toolchain.name));
    let mut command = cargo::other(&toolchain.cargo);
    command
        .current_dir(workspace::path("dispa-ebpf"))
        .args(["build", "--release", "--locked", "-Z", "build-std=core"])
        .args(["--target", "bpfel-unknown-none"])
        .env("RUSTC", &toolchain.rustc)
        // Lets a stable compiler build core.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", workspace::path("target/ebpf"))
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", linker)
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_RUSTFLAGS", RUSTFLAGS);
    shell::run(&mut command).context(toolchain.hint)
}

/// Puts object and stamp in their places, the stamp last: an object without it counts for nothing.
fn publish(stamp: &str) -> Result<u64> {
    let size = fs::copy(workspace::path(BUILT), workspace::path(stamp::OBJECT))?;
    fs::write(workspace::path(stamp::STAMP), stamp)?;
    Ok(size)
}
