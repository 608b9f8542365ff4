//! Where things are in this repository.

use std::path::{Path, PathBuf};

/// The top of the repository.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// A path given from the top of the repository.
pub(crate) fn path(relative: &str) -> PathBuf {
    root().join(relative)
}
