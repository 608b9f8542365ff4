//! Python with the packages that xtask installs for it.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// The interpreter that has them.
pub fn python() -> Result<PathBuf> {
    // A link that must stay one: it is by its own place that it finds its packages.
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab/python/bin/python");
    ensure!(python.exists(), "Python's packages are missing: run `cargo xtask setup`");
    Ok(python)
}
