//! Keeps packages from starting services while they are installed.
//!
//! invoke-rc.d and deb-systemd-invoke ask /usr/sbin/policy-rc.d first; 101 forbids (Debian's
//! invoke-rc.d documentation). A policy that is there already, as in containers, is the
//! machine's own and stays.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process;

const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Forbids services to start for as long as it lives.
#[derive(Debug)]
pub(crate) struct NoServices {
    ours: bool,
}

impl NoServices {
    pub(crate) fn new() -> io::Result<Self> {
        let mut options = OpenOptions::new();
        match options.write(true).create_new(true).mode(0o755).open(POLICY) {
            Ok(mut file) => {
                let guard = Self { ours: true };
                file.write_all(script().as_bytes())?;
                Ok(guard)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Self { ours: false }),
            Err(error) => Err(error),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("warning: {POLICY} is left behind, and forbids nothing any more: {error}");
        }
    }
}

/// Forbids only while we run: were we killed before we could remove it, it removes itself.
fn script() -> String {
    format!(
        "#!/bin/sh\n\
         # Written by dispa's `cargo xtask setup`, for as long as it installs packages.\n\
         [ \"$(cat /proc/{}/comm 2>/dev/null)\" = xtask ] && exit 101\n\
         rm -f \"$0\"\n",
        process::id()
    )
}
