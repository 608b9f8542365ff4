//! The thread that compresses files that are done and removes those that are due. It goes by what is in
//! the directory alone, so that whatever interrupted it is made up for.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Duration,
};

use jiff::{Timestamp, ToSpan as _, civil::Date};

use super::{Current, Name, day_of, listed};
use crate::config::LogFiles;

/// How often it looks without being told to.
const LOOK_EVERY: Duration = Duration::from_hours(1);

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
    current: Current,
}

impl Archive {
    pub(super) fn new(files: &LogFiles, retention_days: u32, current: Current) -> Self {
        Self {
            directory: files.directory.clone(),
            compresses: files.rotation,
            max_total_size: files.max_total_size,
            retention_days,
            current,
        }
    }

    /// Looks at the start, when it is told to, and now and then; until whoever tells is gone.
    pub(super) fn run(&self, turned: &Receiver<()>) {
        loop {
            if let Err(error) = self.look(day_of(Timestamp::now())) {
                let directory = self.directory.display();
                tracing::warn!(%directory, %error, "old files of the traffic log stay as they are");
            }
            if turned.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    /// What is due is removed first: it need not be compressed, and makes room.
    fn look(&self, today: Date) -> io::Result<()> {
        self.remove_parts()?;
        self.remove_old(today)?;
        self.remove_surplus()?;
        for (name, path) in listed(&self.directory)? {
            if self.compresses && !name.compressed && !self.current.is(&path) {
                self.compress(name, &path)?;
            }
        }
        Ok(())
    }

    /// What an interrupted one left.
    fn remove_parts(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let ours = name.to_str().and_then(|name| name.strip_suffix(PART)).and_then(Name::parse);
            if ours.is_some() {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn remove_old(&self, today: Date) -> io::Result<()> {
        let Ok(first) = today.checked_sub(i64::from(self.retention_days).days()) else {
            return Ok(());
        };
        for (name, path) in listed(&self.directory)? {
            if name.day < first && !self.current.is(&path) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    fn remove_surplus(&self) -> io::Result<()> {
        let files = listed(&self.directory)?;
        let sizes = files.iter().map(|(_, path)| fs::metadata(path).map(|it| it.len()));
        let mut total = sizes.sum::<io::Result<u64>>()?;
        for (_, path) in files.iter().filter(|(_, path)| !self.current.is(path)) {
            if total <= self.max_total_size {
                break;
            }
            total = total.saturating_sub(fs::metadata(path)?.len());
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// The file is there under one of its names at any time.
    fn compress(&self, name: Name, path: &Path) -> io::Result<()> {
        let done = Name { compressed: true, ..name }.in_directory(&self.directory);
        let mut part = done.clone().into_os_string();
        part.push(PART);
        let (plain, packed) = (File::open(path)?, File::create(&part)?);
        let metadata = plain.metadata()?;
        let packing = zstd::stream::copy_encode(&plain, &packed, LEVEL)
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

#[cfg(test)]
mod tests {
    use std::fs;

    use jiff::civil::date;

    use super::{Archive, Current, Name};
    use crate::{config::LogFiles, sink::tests::Scratch};

    fn archive(scratch: &Scratch, max_total_size: u64) -> Archive {
        let files = LogFiles {
            directory: scratch.path(""),
            max_file_size: 1,
            rotation: true,
            max_total_size,
        };
        let current = Name::of_day(date(2024, 2, 1)).in_directory(&files.directory);
        Archive::new(&files, 2, Current::new(current))
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
        archive(&scratch, u64::MAX).look(date(2024, 2, 1)).expect("looks");
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
        archive(&scratch, 2_400).remove_surplus().expect("looks");
        assert_eq!(names(&scratch), ["traffic-2024-02-01.log"]);
        archive(&scratch, 1).remove_surplus().expect("looks");
        assert_eq!(names(&scratch), ["traffic-2024-02-01.log"], "that is being written");
    }
}
