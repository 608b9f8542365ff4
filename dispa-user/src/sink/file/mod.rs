//! Files of JSON lines, one a day.

mod archive;
mod days;
pub(super) mod read;
mod writer;

use std::path::{Path, PathBuf};

use jiff::{Timestamp, civil::Date, tz::TimeZone};

pub(super) use writer::FileSink;

/// The name of one file: `traffic-2024-01-31.log` while it is written, `.1.log` and so on for those
/// of the day that are full, and `.zst` at the end of those that are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    day: Date,
    /// From 1; the file that is written comes after all that are full.
    number: u32,
    compressed: bool,
}

impl Name {
    /// The one that is written on a day.
    const fn of_day(day: Date) -> Self {
        Self { day, number: u32::MAX, compressed: false }
    }

    /// Whether it is the one that is written on this day, or will be on a later one: the clock may have
    /// been there.
    fn is_written(self, today: Date) -> bool {
        self.number == u32::MAX && !self.compressed && self.day >= today
    }

    fn parse(name: &str) -> Option<Self> {
        let name = name.strip_prefix("traffic-")?;
        let (name, compressed) = match name.strip_suffix(".zst") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let name = name.strip_suffix(".log")?;
        let (day, number) = match name.split_once('.') {
            Some((day, number)) => (day, number.parse().ok()?),
            None => (name, u32::MAX),
        };
        Some(Self { day: day.parse().ok()?, number, compressed })
    }

    fn file_name(self) -> String {
        let zst = if self.compressed { ".zst" } else { "" };
        match self.number {
            u32::MAX => format!("traffic-{}.log{zst}", self.day),
            number => format!("traffic-{}.{number}.log{zst}", self.day),
        }
    }

    fn in_directory(self, directory: &Path) -> PathBuf {
        directory.join(self.file_name())
    }
}

/// The files that are there, the oldest first. Others are none of ours.
fn listed(directory: &Path) -> std::io::Result<Vec<(Name, PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        // What only has such a name is somebody else's.
        if !entry.file_type()?.is_file() {
            continue;
        }
        if let Some(name) = entry.file_name().to_str().and_then(Name::parse) {
            files.push((name, entry.path()));
        }
    }
    files.sort_unstable_by_key(|(name, _)| *name);
    Ok(files)
}

/// The last day of which there is a file.
fn newest(directory: &Path) -> Option<Date> {
    Some(listed(directory).ok()?.last()?.0.day)
}

/// The day, in UTC.
fn day_of(now: Timestamp) -> Date {
    now.to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn names_are_read_as_they_are_written_and_sort_by_age() {
        let names = [
            "traffic-2024-01-30.log.zst",
            "traffic-2024-01-31.1.log.zst",
            "traffic-2024-01-31.2.log",
            "traffic-2024-01-31.10.log",
            "traffic-2024-01-31.log",
        ];
        let parsed: Vec<_> = names.iter().filter_map(|name| Name::parse(name)).collect();
        assert!(parsed.is_sorted());
        assert_eq!(parsed.iter().map(|name| name.file_name()).collect::<Vec<_>>(), names);
        for other in ["traffic-2024-01-31.log.zst.part", "traffic-x.log", "other.log", "traffic-"] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }
}
