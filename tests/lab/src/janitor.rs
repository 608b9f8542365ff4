//! Cleaning up that outlives its owner.
//!
//! A janitor is a shell that waits for the end of its standard input, which comes when its owner
//! drops it, panics or dies, `kill -9` included. There is thus one way of cleaning up, and every
//! run takes it.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result};

#[derive(Debug)]
pub(crate) struct Janitor {
    shell: Child,
    of: OsString,
}

impl Janitor {
    /// Runs `script`, with `path` as its `$0`, once the janitor's owner is gone. Comes before the
    /// thing to be cleaned up is made: there is no moment at which that could be left behind.
    pub(crate) fn new(script: &str, path: &Path) -> Result<Self> {
        let shell = Command::new("sh")
            .args(["-c", &format!("read -r end; {script}")])
            .arg(path)
            .current_dir("/")
            // Ctrl-C goes to the owner's process group, and must not end its janitor.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start a shell")?;
        Ok(Self { shell, of: path.into() })
    }
}

impl Drop for Janitor {
    /// Fails the test whose traces could not be removed.
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let clean = self.shell.wait().is_ok_and(|status| status.success());
        assert!(clean || thread::panicking(), "{} was left behind", self.of.display());
    }
}
