//! A directory tree that becomes a package.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::{shell, workspace};

/// An empty directory, filled by one who names every file.
#[derive(Debug)]
pub(crate) struct Stage {
    root: PathBuf,
}

impl Stage {
    /// Empties the directory.
    pub(super) fn new(root: PathBuf) -> Result<Self> {
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        fs::create_dir_all(&root)?;
        Ok(Self { root })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// A file of the repository, under another name.
    pub(super) fn copy(&self, from: &str, to: &str) -> Result<()> {
        let bytes =
            fs::read(workspace::path(from)).with_context(|| format!("cannot read {from}"))?;
        self.write(to, &bytes)
    }

    /// The same, to be run.
    pub(super) fn copy_program(&self, from: &Path, to: &str) -> Result<()> {
        self.write(
            to,
            &fs::read(from).with_context(|| format!("cannot read {}", from.display()))?,
        )?;
        Ok(fs::set_permissions(self.root.join(to), Permissions::from_mode(0o755))?)
    }

    /// What a command prints.
    pub(super) fn output(&self, command: &mut Command, to: &str) -> Result<()> {
        self.write(to, shell::output(command)?.as_bytes())
    }

    pub(super) fn write(&self, to: &str, bytes: &[u8]) -> Result<()> {
        let path = self.root.join(to);
        self.directory_of(&path)?;
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(fs::set_permissions(path, Permissions::from_mode(0o644))?)
    }

    /// An empty directory.
    pub(super) fn directory(&self, to: &str) -> Result<PathBuf> {
        let path = self.root.join(to);
        self.directory_of(&path.join("file"))?;
        Ok(path)
    }

    /// Compresses a file in place, the same bytes each time.
    pub(super) fn gzip(&self, name: &str) -> Result<()> {
        shell::run(Command::new("gzip").args(["-9", "--no-name"]).arg(self.root.join(name)))
    }

    /// Every file in a directory and below, by its name from the root.
    pub(super) fn files(&self, below: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let mut waiting = vec![self.root.join(below)];
        while let Some(directory) = waiting.pop() {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    waiting.push(entry.path());
                } else {
                    let path = entry.path();
                    names.push(path.strip_prefix(&self.root)?.display().to_string());
                }
            }
        }
        names.sort();
        Ok(names)
    }

    /// Takes out of a program what only debuggers read.
    pub(super) fn strip(&self, name: &str) -> Result<()> {
        let mut strip = Command::new("strip");
        strip.args(["--strip-unneeded", "--remove-section=.comment", "--remove-section=.note"]);
        shell::run(strip.arg(self.root.join(name)).stdin(Stdio::null()))
    }

    /// Makes the directories above a path, readable to all whatever our umask is.
    fn directory_of(&self, path: &Path) -> Result<()> {
        let Some(parent) = path.parent().filter(|it| *it != self.root && !it.exists()) else {
            return Ok(());
        };
        self.directory_of(parent)?;
        fs::create_dir(parent)?;
        Ok(fs::set_permissions(parent, Permissions::from_mode(0o755))?)
    }
}
