//! A file that consists of whole lines, whatever happened to whoever wrote it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Who may read what programs asked for: the daemon's user, and a group for those who are to.
const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;

/// Bytes that are read at a time, to find the last line's end.
const PIECE: usize = 4_096;

/// A file that consists of whole lines, open at its end.
#[derive(Debug)]
pub(super) struct Lines {
    file: File,
    path: PathBuf,
    length: u64,
    /// A write has failed and what it left could not be cut off.
    is_torn: bool,
}

/// Not all could be written.
#[derive(Debug)]
pub(super) struct Torn {
    /// Lines that are there all the same, the first ones.
    pub(super) lines: usize,
    /// Why not more.
    pub(super) error: io::Error,
}

impl Torn {
    /// It is the next record that cannot be written, whatever the disk is like.
    pub(super) fn is_of_the_record(&self) -> bool {
        self.error.kind() == io::ErrorKind::InvalidData
    }
}

impl Lines {
    /// Opens or makes the file. Whoever writes to it has it to himself meanwhile.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        make_parent(path)?;
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(FILE_MODE).open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, path: path.to_owned(), length, is_torn: false })
    }

    /// The file of that name by now.
    pub(super) fn opened_anew(&self) -> io::Result<Self> {
        Self::open(&self.path)
    }

    /// Bytes that it has.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Whether the file of that name is another one by now, or gone.
    pub(super) fn was_moved(&self) -> bool {
        !is_at(&self.file, &self.path)
    }

    /// Adds whole lines: all of them, or as many as find room.
    pub(super) fn append(&mut self, text: &[u8]) -> Result<(), Torn> {
        let failed = |error| Torn { lines: 0, error };
        if self.is_torn {
            self.cut_half_line().map_err(failed)?;
        }
        // Whoever turns logs may have emptied it, and another daemon added to it.
        self.length = self.file.metadata().map_err(failed)?.len();
        let mut rest = text;
        let error = loop {
            match self.file.write(rest) {
                Ok(0) if rest.is_empty() => {
                    self.length = self.length.saturating_add(text.len() as u64);
                    return Ok(());
                }
                Ok(0) => break io::ErrorKind::WriteZero.into(),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error,
            }
        };
        let there = text.len().saturating_sub(rest.len());
        let whole = text.get(..there).and_then(|there| memchr::memrchr(b'\n', there));
        let whole = whole.map_or(0, |end| end + 1);
        let lines = memchr::memchr_iter(b'\n', text).take_while(|end| *end < whole).count();
        self.length = self.length.saturating_add(whole as u64);
        self.is_torn = self.file.set_len(self.length).is_err();
        Err(Torn { lines, error })
    }

    /// Has it to ourselves until it is released or dropped: another daemon, or what keeps the directory
    /// in bounds, does so, too. The half line that a killed writer or a full disk left is cut off.
    pub(super) fn hold(&mut self) -> io::Result<()> {
        hold(&self.file)?;
        self.cut_half_line()
    }

    /// The same, for as long as we live; whether nobody else has it.
    pub(super) fn keep(&mut self) -> io::Result<bool> {
        match self.file.try_lock() {
            Ok(()) => self.cut_half_line().map(|()| true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Others may have it.
    pub(super) fn release(&self) {
        // It is not ours to begin with, or the file system has no locks.
        let _ = self.file.unlock();
    }

    /// The file itself, to be read.
    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Forgets all of it.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        (self.length, self.is_torn) = (0, false);
        Ok(())
    }

    /// To the disk itself.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn cut_half_line(&mut self) -> io::Result<()> {
        let length = self.file.seek(SeekFrom::End(0))?;
        let mut end = length;
        while end > 0 {
            let start = end.saturating_sub(PIECE as u64);
            self.file.seek(SeekFrom::Start(start))?;
            let mut piece = Vec::with_capacity(PIECE);
            (&self.file).take(end - start).read_to_end(&mut piece)?;
            if let Some(last) = memchr::memrchr(b'\n', &piece) {
                end = start + last as u64 + 1;
                break;
            }
            end = start;
        }
        if end < length {
            self.file.set_len(end)?;
        }
        (self.length, self.is_torn) = (end, false);
        Ok(())
    }
}

/// How long whoever has a file is waited for. Nobody has one for longer than a write takes.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it is looked whether it is free.
const LOOK: Duration = Duration::from_millis(1);

/// Has a file, or a directory, to ourselves until it is unlocked or closed. `WouldBlock` where another
/// daemon does not let it go.
pub(super) fn hold(file: &File) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() < end => thread::sleep(LOOK),
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::WouldBlock, "another dispa has it"));
            }
        }
    }
}

/// Whether this is the file of that name.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let identity = |it: &fs::Metadata| (it.dev(), it.ino());
    match (fs::metadata(path), file.metadata()) {
        (Ok(there), Ok(own)) => identity(&there) == identity(&own),
        _ => false,
    }
}

/// Makes the directory that a file is to be in.
pub(super) fn make_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => make_directory(parent),
        _ => Ok(()),
    }
}

/// Has a file be there that others may not read.
pub(super) fn touch(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(FILE_MODE).open(path).map(drop)
}

/// Makes a file that others may not read, not even before it is whole.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)
}

/// Makes a directory, and those above it.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Lines;
    use crate::sink::tests::Scratch;

    #[test]
    fn half_a_line_at_the_end_is_cut_off() {
        let scratch = Scratch::new();
        let path = scratch.path("log");
        let long = "x".repeat(10_000);
        for (before, after) in [
            ("", "new\n"),
            ("half", "new\n"),
            ("whole\n", "whole\nnew\n"),
            ("whole\nhalf", "whole\nnew\n"),
            (&format!("whole\n{long}"), "whole\nnew\n"),
            (&long, "new\n"),
        ] {
            fs::write(&path, before).expect("writes");
            let mut lines = Lines::open(&path).expect("opens");
            lines.hold().expect("is free");
            lines.append(b"new\n").expect("appends");
            assert_eq!(fs::read_to_string(&path).expect("reads"), after);
        }
    }

    #[test]
    fn a_file_that_was_moved_away_is_noticed() {
        let scratch = Scratch::new();
        let path = scratch.path("below/log");
        let lines = Lines::open(&path).expect("opens");
        assert!(!lines.was_moved());
        fs::rename(&path, scratch.path("below/old")).expect("renames");
        assert!(lines.was_moved());
        fs::write(&path, "").expect("writes");
        assert!(lines.was_moved());
    }

    #[test]
    fn a_full_disk_leaves_whole_lines() {
        // Writing to it always fails for want of room (full(4)).
        let full = fs::OpenOptions::new().append(true).open("/dev/full").expect("there");
        let path = "/dev/full".into();
        let mut lines = Lines { file: full, path, length: 0, is_torn: false };
        let torn = lines.append(b"one\ntwo\n").expect_err("no room");
        assert_eq!((torn.lines, lines.length()), (0, 0));
        assert_eq!(torn.error.kind(), std::io::ErrorKind::StorageFull);
    }
}
