//! The bounded file for records while the database is away. They leave it in the order in which they
//! came. Of several daemons that are told of the same file one has it.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
    os::unix::fs::FileExt as _,
    path::Path,
};

use nix::fcntl::{FallocateFlags, fallocate};

use crate::{
    exchange::Row,
    sink::lines::{Lines, Torn},
};

/// A first-in, first-out file of records.
#[derive(Debug)]
pub(super) struct Spill {
    lines: Lines,
    /// Bytes that it may have.
    limit: u64,
    /// Nobody else has it.
    is_ours: bool,
    /// Where the records begin that are still to be loaded.
    loaded: u64,
    /// Bytes at its beginning that the file system has back; they read as zeros.
    given_back: u64,
}

/// Some records out of it.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) rows: Vec<Row<'static>>,
    /// Lines that are no records.
    pub(super) broken: u64,
    /// Where they end.
    end: u64,
}

impl Spill {
    /// Opens or makes it; it is another daemon's until it is [taken](Self::take).
    pub(super) fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let lines = Lines::open(path)?;
        Ok(Self { lines, limit, is_ours: false, loaded: 0, given_back: 0 })
    }

    /// Has it, if nobody else does. How many records are in it that were not known of: what an earlier
    /// run, or another daemon, left is still to be loaded.
    pub(super) fn take(&mut self) -> io::Result<u64> {
        let was_moved = self.is_empty() && self.lines.was_moved();
        if self.is_ours && !was_moved {
            return Ok(0);
        }
        if was_moved {
            self.lines = self.lines.opened_anew()?;
        }
        self.is_ours = self.lines.keep()?;
        if self.is_ours { self.survey() } else { Ok(0) }
    }

    /// Counts what is in it.
    fn survey(&mut self) -> io::Result<u64> {
        let mut text = BufReader::new(self.tail(0));
        let (mut begin, mut position, mut count) = (0, 0, 0);
        loop {
            let piece = text.fill_buf()?;
            if piece.is_empty() {
                break;
            }
            if begin == position {
                begin += piece.iter().take_while(|byte| **byte == 0).count() as u64;
            }
            count += memchr::memchr_iter(b'\n', piece).count() as u64;
            let length = piece.len();
            position += length as u64;
            text.consume(length);
        }
        (self.loaded, self.given_back) = (begin, begin);
        Ok(count)
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.is_ours || self.loaded >= self.lines.length()
    }

    /// Puts records at its end: all of them, or as many as find room.
    pub(super) fn add(&mut self, rows: &[Row<'_>]) -> Result<(), Torn> {
        if !self.is_ours {
            return Err(Torn {
                lines: 0,
                error: io::Error::other("another dispa has the spill file"),
            });
        }
        let mut text = Vec::new();
        for (lines, row) in rows.iter().enumerate() {
            let begin = text.len();
            let written = serde_json::to_writer(&mut text, row);
            text.push(b'\n');
            let length = self.lines.length().saturating_add(text.len() as u64);
            if written.is_err() || length.saturating_sub(self.given_back) > self.limit {
                text.truncate(begin);
                self.lines.append(&text)?;
                let error = written.err().map_or_else(full, io::Error::from);
                return Err(Torn { lines, error });
            }
        }
        self.lines.append(&text)
    }

    /// The first `most` of those that are still to be loaded.
    pub(super) fn first(&self, most: usize) -> io::Result<Loaded> {
        let mut text = BufReader::new(self.tail(self.loaded));
        let (mut rows, mut broken, mut end) = (Vec::new(), 0, self.loaded);
        let mut line = Vec::new();
        while rows.len() < most && end < self.lines.length() {
            line.clear();
            let length = text.read_until(b'\n', &mut line)?;
            if length == 0 {
                // Somebody else has cut it.
                end = self.lines.length();
                break;
            }
            end = end.saturating_add(length as u64);
            match serde_json::from_slice(&line) {
                Ok(row) => rows.push(row),
                Err(_) => broken += 1,
            }
        }
        Ok(Loaded { rows, broken, end })
    }

    /// These need not be loaded again, by a later run neither.
    pub(super) fn done(&mut self, loaded: &Loaded) -> io::Result<()> {
        self.loaded = loaded.end;
        if self.is_empty() {
            self.lines.clear()?;
            (self.loaded, self.given_back) = (0, 0);
        } else if give_back(self.lines.file(), self.loaded) {
            self.given_back = self.loaded;
        }
        Ok(())
    }

    /// To the disk itself.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.lines.sync()
    }

    const fn tail(&self, position: u64) -> Tail<'_> {
        Tail { file: self.lines.file(), position }
    }
}

/// A file from some place on, whatever its name is by now.
struct Tail<'f> {
    file: &'f File,
    position: u64,
}

impl Read for Tail<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.position)?;
        self.position = self.position.saturating_add(count as u64);
        Ok(count)
    }
}

/// Lets the file system have so many bytes of the beginning, if it can do that.
fn give_back(file: &File, length: u64) -> bool {
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    i64::try_from(length).is_ok_and(|length| fallocate(file, flags, 0, length).is_ok())
}

fn full() -> io::Error {
    io::Error::new(io::ErrorKind::QuotaExceeded, "the spill file is full")
}

#[cfg(test)]
mod tests {
    use super::Spill;
    use crate::{
        exchange::{Exchange, Row},
        sink::tests::{Scratch, exchange},
    };

    fn taken(path: &std::path::Path, limit: u64) -> (Spill, u64) {
        let mut spill = Spill::open(path, limit).expect("opens");
        let left = spill.take().expect("is free");
        (spill, left)
    }

    fn rows(exchanges: &[Exchange]) -> Vec<Row<'_>> {
        exchanges.iter().map(Exchange::row).collect()
    }

    #[test]
    fn records_leave_in_the_order_in_which_they_came() {
        let scratch = Scratch::new();
        let path = scratch.path("spill");
        let exchanges: Vec<_> = (0..10).map(exchange).collect();
        let rows = rows(&exchanges);
        let (mut spill, left) = taken(&path, u64::MAX);
        assert_eq!((left, spill.is_empty()), (0, true));
        spill.add(&rows[..7]).expect("adds");
        let three = spill.first(3).expect("reads");
        assert_eq!(three.rows, rows[..3]);
        spill.done(&three).expect("done");
        spill.add(&rows[7..]).expect("adds");
        let rest = spill.first(100).expect("reads");
        assert_eq!(rest.rows, rows[3..]);
    }

    #[test]
    fn what_is_loaded_is_not_left_to_the_next() {
        let scratch = Scratch::new();
        let path = scratch.path("spill");
        let exchanges: Vec<_> = (0..100).map(exchange).collect();
        let rows = rows(&exchanges);
        let (mut spill, _) = taken(&path, u64::MAX);
        spill.add(&rows).expect("adds");
        let some = spill.first(37).expect("reads");
        spill.done(&some).expect("done");

        let (mut other, left) = taken(&path, u64::MAX);
        assert_eq!((left, other.is_empty()), (0, true), "it is not the other's");
        assert_eq!(other.add(&rows).expect_err("not ours").lines, 0);
        drop(spill);
        assert_eq!(other.take().expect("is free"), 63);
        let all = other.first(100).expect("reads");
        assert_eq!((all.rows.as_slice(), all.broken), (&rows[37..], 0));
        other.done(&all).expect("done");
        assert!(other.is_empty());
        assert_eq!(std::fs::metadata(&path).expect("there").len(), 0);
    }

    #[test]
    fn a_full_one_takes_what_fits_and_more_once_some_are_loaded() {
        let scratch = Scratch::new();
        let exchanges: Vec<_> = (0..10).map(exchange).collect();
        let rows = rows(&exchanges);
        let line = serde_json::to_vec(&rows[0]).expect("JSON").len() as u64 + 1;
        let (mut spill, _) = taken(&scratch.path("spill"), line * 3 + line / 2);
        assert_eq!(spill.add(&rows).expect_err("full").lines, 3);
        assert_eq!(spill.first(100).expect("reads").rows, rows[..3]);
        let two = spill.first(2).expect("reads");
        spill.done(&two).expect("done");
        assert_eq!(spill.add(&rows[3..]).expect_err("full").lines, 2);
        assert_eq!(spill.first(100).expect("reads").rows, rows[2..5]);
    }

    #[test]
    fn one_that_is_removed_takes_nothing_with_it() {
        let scratch = Scratch::new();
        let path = scratch.path("spill");
        let exchanges: Vec<_> = (0..10).map(exchange).collect();
        let rows = rows(&exchanges);
        let (mut spill, _) = taken(&path, u64::MAX);
        spill.add(&rows[..5]).expect("adds");
        std::fs::remove_file(&path).expect("there");
        let five = spill.first(100).expect("reads");
        assert_eq!(five.rows, rows[..5]);
        spill.done(&five).expect("done");
        assert_eq!(spill.take().expect("is made anew"), 0);
        spill.add(&rows[5..]).expect("adds");
        assert_eq!(std::fs::read_to_string(&path).expect("there").lines().count(), 5);
    }
}
