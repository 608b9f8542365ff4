//! The bounded file for records while the database is away. They leave it in the order in which they
//! came.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use crate::{
    exchange::Row,
    sink::lines::{Lines, Torn},
};

/// A first-in, first-out file of records.
#[derive(Debug)]
pub(super) struct Spill {
    lines: Lines,
    path: PathBuf,
    /// Bytes that it may have.
    limit: u64,
    /// Where the records begin that are still to be loaded.
    loaded: u64,
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
    /// Opens or makes it; what an earlier run left in it is still to be loaded. How many lines that is.
    pub(super) fn open(path: &Path, limit: u64) -> io::Result<(Self, u64)> {
        let lines = Lines::open(path)?;
        lines.lock()?;
        let spill = Self { lines, path: path.to_owned(), limit, loaded: 0 };
        let mut count = 0;
        let mut text = BufReader::new(File::open(path)?);
        loop {
            let piece = text.fill_buf()?;
            if piece.is_empty() {
                return Ok((spill, count));
            }
            count += memchr::memchr_iter(b'\n', piece).count() as u64;
            let length = piece.len();
            text.consume(length);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.loaded >= self.lines.length()
    }

    /// Puts records at its end: all of them, or as many as find room.
    pub(super) fn add(&mut self, rows: &[Row<'_>]) -> Result<(), Torn> {
        let mut text = Vec::new();
        for (lines, row) in rows.iter().enumerate() {
            let begin = text.len();
            let written = serde_json::to_writer(&mut text, row);
            text.push(b'\n');
            let length = self.lines.length().saturating_add(text.len() as u64);
            if written.is_err() || length > self.limit {
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
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.loaded))?;
        let mut text = BufReader::new(file);
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

    /// These need not be loaded again.
    pub(super) fn done(&mut self, loaded: &Loaded) -> io::Result<()> {
        self.loaded = loaded.end;
        if self.is_empty() {
            self.lines.clear()?;
            self.loaded = 0;
        }
        Ok(())
    }

    /// To the disk itself.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.lines.sync()
    }
}

fn full() -> io::Error {
    io::Error::new(io::ErrorKind::QuotaExceeded, "the spill file is full")
}

#[cfg(test)]
mod tests {
    use super::Spill;
    use crate::{
        exchange::Row,
        sink::tests::{Scratch, exchange},
    };

    #[test]
    fn records_leave_in_the_order_in_which_they_came() {
        let scratch = Scratch::new();
        let path = scratch.path("spill");
        let exchanges: Vec<_> = (0..10).map(exchange).collect();
        let rows: Vec<Row<'_>> = exchanges.iter().map(|it| it.row()).collect();
        let (mut spill, left) = Spill::open(&path, u64::MAX).expect("opens");
        assert_eq!((left, spill.is_empty()), (0, true));
        spill.add(&rows[..7]).expect("adds");
        let three = spill.first(3).expect("reads");
        assert_eq!(three.rows, rows[..3]);
        spill.done(&three).expect("done");
        spill.add(&rows[7..]).expect("adds");
        let rest = spill.first(100).expect("reads");
        assert_eq!(rest.rows, rows[3..]);

        let error = Spill::open(&path, u64::MAX).expect_err("in use").to_string();
        assert_eq!(error, "another dispa uses it");
        drop(spill);
        let (mut again, left) = Spill::open(&path, u64::MAX).expect("opens");
        assert_eq!(left, 10, "what is not known to be done is loaded again");
        let all = again.first(100).expect("reads");
        again.done(&all).expect("done");
        assert!(again.is_empty());
        assert_eq!(std::fs::metadata(&path).expect("there").len(), 0);
    }

    #[test]
    fn a_full_one_takes_what_fits() {
        let scratch = Scratch::new();
        let exchanges: Vec<_> = (0..10).map(exchange).collect();
        let rows: Vec<Row<'_>> = exchanges.iter().map(|it| it.row()).collect();
        let line = serde_json::to_vec(&rows[0]).expect("JSON").len() as u64 + 1;
        let (mut spill, _) =
            Spill::open(&scratch.path("spill"), line * 3 + line / 2).expect("opens");
        assert_eq!(spill.add(&rows).expect_err("full").lines, 3);
        assert_eq!(spill.first(100).expect("reads").rows, rows[..3]);
    }
}
