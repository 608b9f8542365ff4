//! The thread that compresses files that are done and removes those that are due. It goes by what is in
//! the directory alone, so that whatever interrupted it is made up for. Other daemons may write to the
//! same directory: one of them at a time does this, and no file is taken away while it is written.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp, ToSpan as _, civil::Date, tz::TimeZone};

use super::{Name, day_of, listed, newest};
use crate::{
    config::LogFiles,
    sink::{
        lines::{self, hold, is_at},
        present::Present,
    },
};

/// How often it looks without being told to.
const LOOK_EVERY: Duration = Duration::from_hours(1);

/// How long it waits for another daemon.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// Fast, and a tenth of the size.
const LEVEL: i32 = 3;

/// The end of a name while the file is being made.
const PART: &str = ".part";

/// What keeps the directory in bounds.
#[derive(Debug)]
pub(super) struct Archive {
    directory: PathBuf,
    compresses: bool,
    max_total_size: u64,
    retention_days: u32,
    present: Present,
}

impl Archive {
    /// Of a directory as it is before anything new is written.
    pub(super) fn new(files: &LogFiles, retention_days: u32) -> Self {
        let end = |day: Date| Some(day.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp());
        let newest = newest(&files.directory).and_then(end);
        let retention = SignedDuration::from_hours(i64::from(retention_days) * 24);
        Self {
            directory: files.directory.clone(),
            compresses: files.rotation,
            max_total_size: files.max_total_size,
            retention_days,
            present: Present::new(Timestamp::now(), Instant::now(), newest, retention),
        }
    }

    /// Looks at the start, when it is told to, and now and then; until whoever tells is gone.
    pub(super) fn run(mut self, turned: &Receiver<()>) {
        loop {
            let now = Timestamp::now();
            let present = self.present.now(now, Instant::now());
            let next = match self.look(day_of(now), day_of(present)) {
                Ok(()) => LOOK_EVERY,
                // Another daemon has the directory, or one of the files.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => LOOK_AGAIN,
                Err(error) => {
                    let directory = self.directory.display();
                    tracing::warn!(%directory, %error, "old files of the traffic log stay as they are");
                    LOOK_EVERY
                }
            };
            if turned.recv_timeout(next) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    /// What is due is removed first: it need not be compressed, and makes room. One file that cannot be
    /// dealt with does not keep the others; the first error is told.
    ///
    /// `today` is when files are written, `present` when their age is told: see [`Present`].
    fn look(&self, today: Date, present: Date) -> io::Result<()> {
        let directory = File::open(&self.directory)?;
        match hold(&directory) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            // Some file systems cannot lock directories: then nothing but the files is locked.
            Ok(()) | Err(_) => {}
        }
        let mut told = Ok(());
        let mut note = |done: io::Result<()>| {
            if told.is_ok() {
                told = done;
            }
        };
        self.remove_parts(&mut note)?;
        self.remove_old(present, &mut note)?;
        self.remove_surplus(today, &mut note)?;
        for (name, path) in listed(&self.directory)? {
            if self.compresses && !name.compressed && !name.is_written(today) {
                note(self.compress(name, &path));
            }
        }
        told
    }

    /// What an interrupted one left.
    fn remove_parts(&self, note: &mut impl FnMut(io::Result<()>)) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let ours = name.to_str().and_then(|name| name.strip_suffix(PART)).and_then(Name::parse);
            if ours.is_some() {
                note(fs::remove_file(entry.path()));
            }
        }
        Ok(())
    }

    fn remove_old(&self, today: Date, note: &mut impl FnMut(io::Result<()>)) -> io::Result<()> {
        let Ok(first) = today.checked_sub(i64::from(self.retention_days).days()) else {
            return Ok(());
        };
        for (name, path) in listed(&self.directory)? {
            if name.day < first {
                note(remove(name, &path));
            }
        }
        Ok(())
    }

    fn remove_surplus(&self, today: Date, note: &mut impl FnMut(io::Result<()>)) -> io::Result<()> {
        let files = listed(&self.directory)?;
        let sizes = files.iter().map(|(_, path)| fs::metadata(path).map(|it| it.len()));
        let mut total = sizes.sum::<io::Result<u64>>()?;
        for (name, path) in files.iter().filter(|(name, _)| !name.is_written(today)) {
            if total <= self.max_total_size {
                break;
            }
            total = total.saturating_sub(fs::metadata(path)?.len());
            note(remove(*name, path));
        }
        Ok(())
    }

    /// The file is there under one of its names at any time. What is there already under the other one,
    /// of the same day before the clock was set back, stays in front of it.
    fn compress(&self, name: Name, path: &Path) -> io::Result<()> {
        let done = Name { compressed: true, ..name }.in_directory(&self.directory);
        let mut part = done.clone().into_os_string();
        part.push(PART);
        let plain = open(path)?;
        if !is_ours(&plain, path)? {
            return Ok(());
        }
        let metadata = plain.metadata()?;
        let before = match File::open(&done) {
            Ok(before) => Some(before),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if before.is_some() && ends_with(&done, path, metadata.len())? {
            // It was compressed, and not removed any more.
            return fs::remove_file(path);
        }
        let mut packed = lines::create(Path::new(&part))?;
        let packing = before
            .map_or(Ok(0), |mut before| io::copy(&mut before, &mut packed))
            .and_then(|_| zstd::stream::copy_encode(&plain, &packed, LEVEL))
            .and_then(|()| packed.set_permissions(metadata.permissions()))
            // Whoever searches goes by it.
            .and_then(|()| packed.set_modified(metadata.modified()?))
            .and_then(|()| packed.sync_all())
            .and_then(|()| fs::rename(&part, &done));
        if packing.is_err() {
            // It takes room, perhaps the last.
            let _ = fs::remove_file(&part);
        }
        packing?;
        fs::remove_file(path)
    }
}

/// As a file must be for NFS to lock it.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).open(path)
}

/// Has a file to ourselves, so that whoever still writes to it does so before, or finds that it is gone.
/// Whether it is the one of that name.
fn is_ours(file: &File, path: &Path) -> io::Result<bool> {
    hold(file)?;
    Ok(is_at(file, path))
}

fn remove(name: Name, path: &Path) -> io::Result<()> {
    if name.compressed {
        return fs::remove_file(path);
    }
    let file = open(path)?;
    if is_ours(&file, path)? { fs::remove_file(path) } else { Ok(()) }
}

/// Whether the last `length` bytes of what is compressed are those of the plain file.
fn ends_with(packed: &Path, plain: &Path, length: u64) -> io::Result<bool> {
    let all = io::copy(&mut zstd::Decoder::new(File::open(packed)?)?, &mut io::sink())?;
    let Some(before) = all.checked_sub(length) else { return Ok(false) };
    let mut packed = BufReader::new(zstd::Decoder::new(File::open(packed)?)?);
    io::copy(&mut (&mut packed).take(before), &mut io::sink())?;
    let mut plain = BufReader::new(File::open(plain)?);
    loop {
        let (one, other) = (packed.fill_buf()?, plain.fill_buf()?);
        let count = one.len().min(other.len());
        if count == 0 {
            return Ok(one.is_empty() && other.is_empty());
        }
        if one.get(..count) != other.get(..count) {
            return Ok(false);
        }
        packed.consume(count);
        plain.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use jiff::civil::date;

    use super::Archive;
    use crate::{config::LogFiles, sink::tests::Scratch};

    fn archive(scratch: &Scratch, max_total_size: u64) -> Archive {
        let files = LogFiles {
            directory: scratch.path(""),
            max_file_size: 1,
            rotation: true,
            max_total_size,
        };
        Archive::new(&files, 2)
    }

    fn look(archive: &Archive) -> std::io::Result<()> {
        archive.look(date(2024, 2, 1), date(2024, 2, 1))
    }

    fn names(scratch: &Scratch) -> Vec<String> {
        let entries = fs::read_dir(scratch.path("")).expect("there");
        let names = entries.map(|it| it.expect("there").file_name().into_string().expect("UTF-8"));
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    fn fill(scratch: &Scratch, names: &[&str]) {
        for name in names {
            fs::write(scratch.path(name), format!("{name}\n").repeat(100)).expect("writes");
        }
    }

    #[test]
    fn files_that_are_done_are_compressed_and_old_ones_removed() {
        let scratch = Scratch::new();
        fill(
            &scratch,
            &[
                "others.log",
                "traffic-2024-01-29.log.zst",
                "traffic-2024-01-29.1.log",
                "traffic-2024-01-30.log",
                "traffic-2024-01-31.1.log",
                "traffic-2024-01-31.log",
                "traffic-2024-01-31.log.zst.part",
                "traffic-2024-02-01.1.log",
                "traffic-2024-02-01.log",
            ],
        );
        look(&archive(&scratch, u64::MAX)).expect("looks");
        assert_eq!(
            names(&scratch),
            [
                "others.log",
                "traffic-2024-01-30.log.zst",
                "traffic-2024-01-31.1.log.zst",
                "traffic-2024-01-31.log.zst",
                "traffic-2024-02-01.1.log.zst",
                "traffic-2024-02-01.log",
            ]
        );
        let packed = fs::File::open(scratch.path("traffic-2024-01-30.log.zst")).expect("there");
        let text = zstd::decode_all(packed).expect("zstd");
        assert_eq!(text, "traffic-2024-01-30.log\n".repeat(100).as_bytes());
    }

    #[test]
    fn the_oldest_give_way_to_the_total_size() {
        let scratch = Scratch::new();
        fill(&scratch, &["traffic-2024-01-31.1.log", "traffic-2024-01-31.log"]);
        fill(&scratch, &["traffic-2024-02-01.log"]);
        let mut removed = |done: std::io::Result<()>| done.expect("removed");
        archive(&scratch, 2_400).remove_surplus(date(2024, 2, 1), &mut removed).expect("looks");
        assert_eq!(names(&scratch), ["traffic-2024-02-01.log"]);
        archive(&scratch, 1).remove_surplus(date(2024, 2, 1), &mut removed).expect("looks");
        assert_eq!(names(&scratch), ["traffic-2024-02-01.log"], "that is being written");
    }

    #[test]
    fn a_day_that_comes_again_loses_nothing() {
        let scratch = Scratch::new();
        let plain = scratch.path("traffic-2024-01-31.log");
        let packed = scratch.path("traffic-2024-01-31.log.zst");
        let all = || {
            let file = fs::File::open(&packed).expect("there");
            String::from_utf8(zstd::decode_all(file).expect("zstd")).expect("text")
        };
        for text in ["first\n", "second\n"] {
            fs::write(&plain, text).expect("written");
            look(&archive(&scratch, u64::MAX)).expect("looks");
            assert!(!plain.exists());
        }
        assert_eq!(all(), "first\nsecond\n");
        // Killed before it was removed.
        fs::write(&plain, "second\n").expect("written");
        look(&archive(&scratch, u64::MAX)).expect("looks");
        assert_eq!(all(), "first\nsecond\n");
    }

    #[test]
    fn what_another_daemon_has_is_left_to_it() {
        let scratch = Scratch::new();
        fill(
            &scratch,
            &["traffic-2024-01-30.log", "traffic-2024-01-31.log", "traffic-2020-01-01.log"],
        );
        let archive = archive(&scratch, u64::MAX);
        let held = ["traffic-2024-01-31.log", "traffic-2020-01-01.log"].map(|name| {
            let file = fs::File::open(scratch.path(name)).expect("there");
            file.try_lock().expect("free");
            file
        });
        let error = look(&archive).expect_err("two are not free");
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        assert_eq!(
            names(&scratch),
            ["traffic-2020-01-01.log", "traffic-2024-01-30.log.zst", "traffic-2024-01-31.log"]
        );
        drop(held);
        let directory = fs::File::open(scratch.path("")).expect("there");
        directory.try_lock().expect("free");
        look(&archive).expect_err("another one sees to it");
        drop(directory);
        look(&archive).expect("looks");
        let packed = ["traffic-2024-01-30.log.zst", "traffic-2024-01-31.log.zst"];
        assert_eq!(names(&scratch), packed);
    }

    #[test]
    fn what_cannot_be_dealt_with_keeps_nothing_else() {
        let scratch = Scratch::new();
        fs::create_dir(scratch.path("traffic-2020-01-01.log")).expect("made");
        fs::write(scratch.path("traffic-2020-01-02.log"), "old").expect("written");
        fs::write(scratch.path("traffic-2024-01-30.log.zst"), "no archive").expect("written");
        fs::write(scratch.path("traffic-2024-01-30.log"), "kept").expect("written");
        fs::write(scratch.path("traffic-2024-01-31.log"), "packed").expect("written");
        look(&archive(&scratch, u64::MAX)).expect_err("the damaged one");
        let names = names(&scratch);
        assert_eq!(
            names,
            [
                "traffic-2020-01-01.log",
                "traffic-2024-01-30.log",
                "traffic-2024-01-30.log.zst",
                "traffic-2024-01-31.log.zst",
            ]
        );
    }
}
