//! The file of the day: which one it is, and when the next one is begun.

use std::{fs, io, path::PathBuf};

use jiff::{Timestamp, civil::Date};

use super::{Current, Name, day_of, listed};
use crate::{
    config::LogFiles,
    sink::lines::{Lines, Torn, make_directory},
};

/// The file of the day.
#[derive(Debug)]
pub(super) struct Days {
    directory: PathBuf,
    /// Bytes after which a new file is begun.
    max_file_size: u64,
    day: Date,
    lines: Lines,
    current: Current,
    /// Some file is done that was not.
    has_turned: bool,
}

impl Days {
    /// Opens today's.
    pub(super) fn open(files: &LogFiles, now: Timestamp) -> io::Result<Self> {
        let directory = files.directory.clone();
        make_directory(&directory)?;
        let day = day_of(now);
        let path = Name::of_day(day).in_directory(&directory);
        let lines = Lines::open(&path)?;
        let max_file_size = if files.rotation { files.max_file_size } else { u64::MAX };
        let current = Current::new(path);
        Ok(Self { directory, max_file_size, day, lines, current, has_turned: false })
    }

    pub(super) fn current(&self) -> Current {
        self.current.clone()
    }

    /// Whether files are done that were not when this was last asked.
    pub(super) fn take_turned(&mut self) -> bool {
        std::mem::take(&mut self.has_turned)
    }

    /// Sees to it that what follows goes into the file of the day, and into the one of that name: it may
    /// have been moved away for another to be made.
    pub(super) fn look(&mut self, now: Timestamp) -> io::Result<()> {
        let day = day_of(now);
        if day != self.day || self.lines.was_moved() {
            self.has_turned |= day != self.day;
            self.reopen(day)?;
        }
        Ok(())
    }

    /// How many bytes the file takes before the next one is begun.
    pub(super) fn room(&self) -> u64 {
        self.max_file_size.saturating_sub(self.lines.length())
    }

    /// Whether there is nothing in it yet.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.length() == 0
    }

    /// Adds whole lines.
    pub(super) fn append(&mut self, text: &[u8]) -> Result<(), Torn> {
        self.lines.append(text)
    }

    /// Puts the full file aside and begins the next one.
    pub(super) fn turn(&mut self) -> io::Result<()> {
        self.lines.sync()?;
        let of_day = |name: &Name| name.day == self.day && name.number < u32::MAX;
        let files = listed(&self.directory)?;
        let numbers = files.iter().map(|(name, _)| name).filter(|name| of_day(name));
        let number = numbers.map(|name| name.number).max().unwrap_or(0).saturating_add(1);
        let aside = Name { day: self.day, number, compressed: false };
        let path = Name::of_day(self.day).in_directory(&self.directory);
        fs::rename(path, aside.in_directory(&self.directory))?;
        self.has_turned = true;
        self.reopen(self.day)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.lines.sync()
    }

    fn reopen(&mut self, day: Date) -> io::Result<()> {
        let path = Name::of_day(day).in_directory(&self.directory);
        self.lines = Lines::open(&path)?;
        self.day = day;
        self.current.set(&path);
        Ok(())
    }
}
