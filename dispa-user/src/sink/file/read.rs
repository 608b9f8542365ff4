//! Reading the files again, plain and compressed alike.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read},
    path::Path,
};

use jiff::Timestamp;

use super::{Name, day_of, listed};
use crate::{
    exchange::Row,
    sink::query::{Query, Unanswered},
};

/// Bytes of a line that is still read; no row is as long: a head has 1 MiB at most, and a byte of it takes six
/// at most (`\\u0000`).
const LONGEST_LINE: u64 = 8 * 1024 * 1024;

/// Hands out the records that fit, the newest file first, each file from its beginning. A file of which
/// `is_needed` says no, by the time it was last written, is left out.
pub(in crate::sink) fn scan(
    directory: &Path,
    query: &Query,
    mut found: impl FnMut(Row<'static>),
    is_needed: impl Fn(Option<Timestamp>) -> bool,
) -> Result<(), Unanswered> {
    let unreadable = |source| Unanswered::Files { directory: directory.to_owned(), source };
    let files = listed(directory).map_err(unreadable)?;
    let mut seen = BTreeSet::new();
    let mut found = &mut found;
    for (name, path) in files.iter().rev() {
        // While a file is being compressed it is there twice.
        if !seen.insert((name.day, name.number)) {
            continue;
        }
        // What began on a day ended on that day or later, and is written then.
        if query.since.is_some_and(|since| name.day < day_of(since)) {
            break;
        }
        let is_gone = |read: &io::Result<()>| {
            read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        let mut done = read(path, name.compressed, query, &mut found, &is_needed);
        if is_gone(&done) && !name.compressed {
            // It was compressed meanwhile.
            let packed = Name { compressed: true, ..*name }.in_directory(directory);
            done = read(&packed, true, query, &mut found, &is_needed);
        }
        match done {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(Unanswered::TooLong);
            }
            // It was removed meanwhile.
            done if is_gone(&done) => {}
            Ok(()) => {}
            // Damaged: what is in the others is there all the same.
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "a file of the traffic log cannot be read");
            }
        }
    }
    Ok(())
}

fn read(
    path: &Path,
    compressed: bool,
    query: &Query,
    found: &mut impl FnMut(Row<'static>),
    is_needed: &impl Fn(Option<Timestamp>) -> bool,
) -> io::Result<()> {
    let written = fs::metadata(path)?.modified().ok();
    if !is_needed(written.and_then(|it| Timestamp::try_from(it).ok())) {
        return Ok(());
    }
    let file = File::open(path)?;
    let text: Box<dyn Read> =
        if compressed { Box::new(zstd::Decoder::new(file)?) } else { Box::new(file) };
    let mut lines = BufReader::new(text);
    let mut line = Vec::new();
    loop {
        query.in_time()?;
        line.clear();
        if (&mut lines).take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        // Half a line that is just being written, or what somebody else has put there.
        let Ok(row) = serde_json::from_slice::<Row<'static>>(&line) else { continue };
        if query.fits(&row) {
            found(row);
        }
    }
}
