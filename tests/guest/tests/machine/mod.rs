//! An emulated machine: what it is made of, its run, and its console.

mod initramfs;
mod parts;
mod qemu;

use std::fmt;

use anyhow::Result;

use initramfs::Initramfs;
use parts::Parts;

/// A machine that can be run once.
#[derive(Debug)]
pub(crate) struct Machine {
    parts: Parts,
    initramfs: Initramfs,
}

impl Machine {
    /// Gathers the parts, all of which must be there, and makes the file system.
    pub(crate) fn assemble() -> Result<Self> {
        let parts = Parts::find()?;
        let initramfs = Initramfs::build(&parts)?;
        Ok(Self { parts, initramfs })
    }

    /// Boots, and returns all that the console showed until the machine went off.
    pub(crate) fn run(self) -> Result<Console> {
        qemu::run(&self.parts, &self.initramfs.path())
    }
}

/// What a console has shown.
#[derive(Debug)]
pub(crate) struct Console(String);

impl Console {
    /// The rest of each line that begins so, in order.
    pub(crate) fn lines_after<'a>(&'a self, start: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.lines().filter_map(move |line| line.strip_prefix(start))
    }
}

impl fmt::Display for Console {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
