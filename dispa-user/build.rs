//! Hands the kernel object to the daemon, and refuses to build one with none or an outdated one.
//!
//! `cargo xtask build-ebpf` makes the object. This script never does: it takes another toolchain.

#[path = "../xtask/src/ebpf/stamp.rs"]
mod stamp;

use std::env;
use std::fs;
use std::path::Path;

fn main() {
    if let Err(reason) = embed() {
        println!("cargo::error={reason}");
    }
}

/// Copies the object to where the daemon's `include_bytes_aligned!` finds it.
fn embed() -> Result<(), String> {
    let package = variable("CARGO_MANIFEST_DIR")?;
    let root = Path::new(&package).parent().ok_or("this package is not in dispa's repository")?;
    for path in [stamp::OBJECT, stamp::STAMP].iter().chain(&stamp::SOURCES) {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    check(root)?;
    let copy = Path::new(&variable("OUT_DIR")?).join("dispa-ebpf.o");
    fs::copy(root.join(stamp::OBJECT), &copy)
        .map(drop)
        .map_err(|error| format!("cannot copy the kernel object to {}: {error}", copy.display()))
}

/// Whether the object is there, and made of the sources that are here now.
fn check(root: &Path) -> Result<(), String> {
    let made_of = fs::read_to_string(root.join(stamp::STAMP));
    let (Ok(made_of), true) = (made_of, root.join(stamp::OBJECT).is_file()) else {
        return Err("the kernel object is missing: run `cargo xtask build-ebpf`".to_owned());
    };
    let sources = stamp::of_sources(root)
        .map_err(|error| format!("cannot read the kernel object's sources: {error}"))?;
    if made_of != sources {
        return Err("the kernel object is older than its sources: \
                    run `cargo xtask build-ebpf`"
            .to_owned());
    }
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}
