//! The machine's file system: three programs and the libraries they are linked with.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::parts::Parts;

/// An archive for the kernel to unpack, removed when dropped.
#[derive(Debug)]
pub(crate) struct Initramfs {
    directory: PathBuf,
}

impl Initramfs {
    /// Copies what the machine needs and packs it.
    pub(crate) fn build(parts: &Parts) -> Result<Self> {
        let name = format!("dispa-guest-{}", process::id());
        let made = Self { directory: Path::new(env!("CARGO_TARGET_TMPDIR")).join(name) };
        let mut files = vec![
            (parts.init.clone(), "init".into()),
            (parts.dispa.clone(), "bin/dispa".into()),
            (parts.busybox.clone(), "bin/busybox".into()),
        ];
        for program in [&parts.init, &parts.dispa, &parts.busybox] {
            files.extend(libraries(program)?);
        }
        let root = made.directory.join("root");
        for (from, to) in &files {
            copy(from, &root.join(to))?;
        }
        pack(&parts.cpio, &root, &made.path())?;
        Ok(made)
    }

    /// The archive.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join("initramfs.cpio")
    }
}

impl Drop for Initramfs {
    fn drop(&mut self) {
        // What is left lies in cargo's directory for such files.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The shared libraries of a program, the loader included: where they are, and where they must be
/// below the root. None for a static program.
fn libraries(program: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    // It fails for a static program, and says so to standard error.
    let output = Command::new("ldd").arg(program).output().context("cannot run ldd")?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(!text.contains("not found"), "{} lacks libraries:\n{text}", program.display());
    let paths = text.split_whitespace().filter_map(|word| word.strip_prefix('/'));
    Ok(paths.map(|path| (Path::new("/").join(path), PathBuf::from(path))).collect())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(directory) = to.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

/// Packs all below `root` in the kernel's format; unpacked it is used at once, so why squeeze it.
fn pack(cpio: &Path, root: &Path, archive: &Path) -> Result<()> {
    let mut command = Command::new(cpio);
    command.args(["--create", "--format=newc", "--owner=0:0", "--null", "--quiet"]);
    command.current_dir(root).stdin(Stdio::piped()).stdout(File::create(archive)?);
    let mut child = command.spawn().context("cannot run cpio")?;
    let mut names = Vec::new();
    list(root, Path::new(""), &mut names)?;
    // Taken, so that it is closed and cpio comes to the end.
    child.stdin.take().context("cpio has no input")?.write_all(&names)?;
    let status = child.wait()?;
    ensure!(status.success(), "cpio: {status}");
    Ok(())
}

/// The names of all below `root`, directories before what is in them, each ended by a zero.
fn list(root: &Path, directory: &Path, names: &mut Vec<u8>) -> Result<()> {
    for entry in fs::read_dir(root.join(directory))? {
        let entry = entry?;
        let path = directory.join(entry.file_name());
        names.extend_from_slice(path.as_os_str().as_encoded_bytes());
        names.push(0);
        if entry.file_type()?.is_dir() {
            list(root, &path, names)?;
        }
    }
    Ok(())
}
