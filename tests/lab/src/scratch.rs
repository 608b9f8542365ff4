//! A directory of a lab's own, gone with it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result};

use crate::janitor::Janitor;

#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    _janitor: Janitor,
}

impl Scratch {
    pub(crate) fn new() -> Result<Self> {
        let path = env::temp_dir().join(unique_name());
        let janitor = Janitor::new(r#"rm -rf "$0""#, &path)?;
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path, _janitor: janitor })
    }

    /// Writes a file of this name, or writes it anew.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// A name nothing else that runs now has, for directories and cgroups alike.
pub(crate) fn unique_name() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("dispa-lab-{}-{number}", process::id())
}

#[cfg(test)]
mod tests {
    use super::Scratch;

    #[test]
    fn the_directory_goes_with_its_owner() -> anyhow::Result<()> {
        let scratch = Scratch::new()?;
        let file = scratch.write("a", "b")?;
        assert_eq!(std::fs::read_to_string(&file)?, "b");

        let path = scratch.path().to_owned();
        drop(scratch);
        assert!(!path.exists());
        Ok(())
    }
}
