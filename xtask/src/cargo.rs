//! Calling cargo from under the `cargo run` that started us.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace;

/// What `cargo run` tells a program about its own package; an inner cargo would take it for its
/// caller's wish and rebuild crates that look at it.
const ABOUT_XTASK: [&str; 6] = [
    "CARGO_BIN_NAME",
    "CARGO_CRATE_NAME",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_PRIMARY_PACKAGE",
    "OUT_DIR",
];

/// What a cargo of another toolchain may still be told: where crates are kept and come from, and
/// how to behave. Everything else (wrappers, flags, target directories) is about the host build.
const KEPT_FOR_OTHERS: [&str; 6] =
    ["CARGO_BUILD_JOBS", "CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_TERM_"];

/// The cargo that runs us, at the top of the workspace.
pub(crate) fn host() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace::root());
    forget(&mut command, |name| name.starts_with("CARGO_PKG_") || ABOUT_XTASK.contains(&name));
    command
}

/// A cargo of another toolchain, with nothing of ours in its environment.
pub(crate) fn other(program: &Path) -> Command {
    let mut command = Command::new(program);
    forget(&mut command, |name| {
        let ours = ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS"].iter().any(|it| name.starts_with(it));
        let kept = KEPT_FOR_OTHERS.iter().any(|it| name.starts_with(it));
        (ours && !kept) || name == "RUSTUP_TOOLCHAIN" || name == "LD_LIBRARY_PATH"
    });
    command
}

/// Where `cargo install` puts programs.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")))?;
    Some(home.join("bin").join(program)).filter(|path| path.is_file())
}

fn forget(command: &mut Command, unwanted: impl Fn(&str) -> bool) {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(&unwanted) {
            command.env_remove(name);
        }
    }
}
