//! A file that never grows beyond measure: when it is full it is put aside, and the oldest goes.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// Bytes after which a new file is begun: some 60,000 lines.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Older files that stay: `FILE.1`, the newest, to `FILE.4`.
const OLDER: u32 = 4;

/// The log tells which hosts are asked for what: nobody but the owner and its group is to read it.
const MODE: u32 = 0o640;

/// The file that is written to.
#[derive(Debug)]
pub(super) struct Rotated {
    path: PathBuf,
    file: File,
    size: u64,
    largest: u64,
}

impl Rotated {
    /// Goes on with the file at `path`; its directory is made if it is missing.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::with(path, LARGEST)
    }

    fn with(path: &Path, largest: u64) -> io::Result<Self> {
        if let Some(directory) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
            fs::create_dir_all(directory)?;
        }
        let file = append_to(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, size, largest })
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        for number in (1..OLDER).rev() {
            // One that is not there yet is no harm.
            let _ = fs::rename(self.older(number), self.older(number + 1));
        }
        fs::rename(&self.path, self.older(1))?;
        self.file = append_to(&self.path)?;
        self.size = 0;
        Ok(())
    }

    fn older(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}

impl Write for Rotated {
    /// A line at a time. Where no new file can be begun the old one grows: a line that is lost helps
    /// nobody.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.size >= self.largest && self.begin_anew().is_err() {
            // Not to be tried again for every line.
            self.size = 0;
        }
        let written = self.file.write(line)?;
        self.size += u64::try_from(written).unwrap_or(u64::MAX);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _, path::PathBuf};

    use super::{OLDER, Rotated};

    struct Directory(PathBuf);

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_full_file_is_put_aside_and_the_oldest_goes() {
        let name = format!("dispa-log-{}", std::process::id());
        let directory = Directory(std::env::temp_dir().join(name));
        let path = directory.0.join("deep/dispa.log");
        let read = |name: &str| fs::read_to_string(directory.0.join("deep").join(name));
        let mut log = Rotated::with(&path, 10).expect("opens");
        for number in 0..2 * (OLDER + 2) {
            log.write_all(format!("line {number:02}\n").as_bytes()).expect("writes");
        }
        drop(log);
        assert_eq!(read("dispa.log").expect("there"), "line 10\nline 11\n");
        assert_eq!(read("dispa.log.1").expect("there"), "line 08\nline 09\n");
        assert_eq!(read("dispa.log.4").expect("there"), "line 02\nline 03\n");
        assert!(read("dispa.log.5").is_err());
        let mut log = Rotated::with(&path, 10).expect("opens again");
        log.write_all(b"more\n").expect("writes");
        assert_eq!(read("dispa.log").expect("there"), "more\n");
        assert_eq!(read("dispa.log.1").expect("there"), "line 10\nline 11\n");
    }
}
