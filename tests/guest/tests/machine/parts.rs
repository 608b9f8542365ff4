//! What a machine is made of, and which command gets what is missing.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

const SETUP: &str = "run `cargo xtask setup`";

/// Files of this machine.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The emulator.
    pub(crate) qemu: PathBuf,
    /// Debian's kernel.
    pub(crate) kernel: PathBuf,
    /// The archiver that makes the file system.
    pub(crate) cpio: PathBuf,
    /// For `ip`.
    pub(crate) busybox: PathBuf,
    /// The daemon under test: the one `DISPA_BIN` names, or else the workspace's release build.
    pub(crate) dispa: PathBuf,
    /// The first process.
    pub(crate) init: PathBuf,
}

impl Parts {
    /// Finds them all.
    pub(crate) fn find() -> Result<Self> {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
        let built = target.join("release/dispa");
        let dispa = env::var_os("DISPA_BIN").map_or(built, PathBuf::from);
        Ok(Self {
            qemu: on_path("qemu-system-x86_64")?,
            kernel: existing(&target.join("guest/vmlinuz"), SETUP)?,
            cpio: on_path("cpio")?,
            busybox: on_path("busybox")?,
            dispa: existing(&dispa, "run `cargo xtask build --release`, or set DISPA_BIN")?,
            init: existing(Path::new(env!("CARGO_BIN_EXE_guest-init")), "run this test by cargo")?,
        })
    }
}

fn existing(path: &Path, mend: &str) -> Result<PathBuf> {
    path.canonicalize().with_context(|| format!("there is no {}: {mend}", path.display()))
}

fn on_path(program: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|place| place.join(program)).find(|it| it.is_file());
    found.with_context(|| format!("there is no {program} on the PATH: {SETUP}"))
}
