//! How a command ends when it fails: one line, and an exit code a script can act on.

use std::error::Error;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

use anyhow::{Result, bail};

const FAILED: u8 = 1;
/// `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;
/// `EX_NOPERM` of sysexits.h.
const NO_PERMISSION: u8 = 77;

/// The caller may not do this; says what would let them.
#[derive(Debug)]
pub(crate) struct NoPermission(pub(crate) String);

impl fmt::Display for NoPermission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Error for NoPermission {}

/// Fails with [`NoPermission`] unless we are root.
pub(crate) fn require_root(need: &str) -> Result<()> {
    if !is_root()? {
        bail!(NoPermission(format!("{need}: run it as root")));
    }
    Ok(())
}

/// Whether our effective user, who owns /proc/self, is root.
pub(crate) fn is_root() -> Result<bool> {
    Ok(fs::metadata("/proc/self")?.uid() == 0)
}

/// Prints the failure and gives its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::from(if error.is::<NoPermission>() { NO_PERMISSION } else { FAILED })
}

/// Prints clap's complaint, or the help that was asked for.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // A closed standard output leaves nobody to tell.
    drop(error.print());
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}
