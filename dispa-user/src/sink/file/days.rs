//! The file of the day: which one it is, and when the next one is begun. Another daemon may write to the
//! same one, and turn it: all that is done to a file is done while it is [held](Days::hold), and only if it
//! has its name by then.

use std::{fs, io, path::PathBuf};

use jiff::{Timestamp, civil::Date};

use super::{Name, day_of, listed};
use crate::{
    config::LogFiles,
    sink::lines::{Lines, Torn, make_directory},
};

/// How often a file may be taken from under us while we open it.
const TRIES: u32 = 16;

/// The file of the day.
#[derive(Debug)]
pub(super) struct Days {
    directory: PathBuf,
    /// Bytes after which a new file is begun.
    max_file_size: u64,
    day: Date,
    lines: Lines,
    /// Some file is done that was not.
    has_turned: bool,
}

impl Days {
    /// Opens today's.
    pub(super) fn open(files: &LogFiles, now: Timestamp) -> io::Result<Self> {
        let directory = files.directory.clone();
        make_directory(&directory)?;
        let day = day_of(now);
        let mut lines = Lines::open(&Name::of_day(day).in_directory(&directory))?;
        // What a killed writer left; somebody else is looking after it where it is not free.
        if lines.hold().is_ok() {
            lines.release();
        }
        let max_file_size = if files.rotation { files.max_file_size } else { u64::MAX };
        Ok(Self { directory, max_file_size, day, lines, has_turned: false })
    }

    /// Whether files are done that were not when this was last asked.
    pub(super) fn take_turned(&mut self) -> bool {
        std::mem::take(&mut self.has_turned)
    }

    /// Begins a new file where the present one was moved away: whoever did so may wait for it. What is wrong
    /// shows when there is something to write.
    pub(super) fn renew(&mut self) {
        if self.lines.was_moved() {
            let _ = self.reopen(self.day);
        }
    }

    /// Has the file of the day to ourselves until it is released, and the one of that name: it may have
    /// been moved away for another to be made.
    pub(super) fn hold(&mut self, now: Timestamp) -> io::Result<()> {
        let day = day_of(now);
        if day != self.day {
            self.reopen(day)?;
            self.has_turned = true;
        }
        for _ in 0..TRIES {
            // Whoever compresses it has it for a while.
            if self.lines.was_moved() {
                self.reopen(self.day)?;
            }
            self.lines.hold()?;
            if !self.lines.was_moved() {
                return Ok(());
            }
        }
        Err(io::Error::other("it is moved away again and again"))
    }

    /// Others may have it.
    pub(super) fn release(&self) {
        self.lines.release();
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

    /// Puts the full file aside and begins the next one, which is held as the full one was.
    pub(super) fn turn(&mut self, now: Timestamp) -> io::Result<()> {
        let of_day = |name: &Name| name.day == self.day && name.number < u32::MAX;
        let files = listed(&self.directory)?;
        let numbers = files.iter().map(|(name, _)| name).filter(|name| of_day(name));
        let number = numbers.map(|name| name.number).max().unwrap_or(0).saturating_add(1);
        let aside = Name { day: self.day, number, compressed: false };
        let path = Name::of_day(self.day).in_directory(&self.directory);
        fs::rename(path, aside.in_directory(&self.directory))?;
        self.has_turned = true;
        let full = self.reopen(self.day)?;
        // Whoever waits for it need not wait for the disk.
        full.release();
        full.sync()?;
        self.hold(now)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.lines.sync()
    }

    /// What was written to before is handed out.
    fn reopen(&mut self, day: Date) -> io::Result<Lines> {
        let lines = Lines::open(&Name::of_day(day).in_directory(&self.directory))?;
        self.day = day;
        Ok(std::mem::replace(&mut self.lines, lines))
    }
}
