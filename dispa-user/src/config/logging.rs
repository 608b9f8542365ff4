//! `[logging]`: what the daemon says of itself. The traffic log, in the same section, is read by
//! `traffic_log`.

use std::path::PathBuf;

use super::section::Section;
use super::value::{Reading, Value, choice, parsed};

/// What the daemon says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// The least important level that is still written.
    pub level: Level,
    /// How a line looks.
    pub format: Format,
    /// Where the lines go.
    pub output: Output,
}

/// Where the lines of the log go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// To standard error.
    Console,
    /// To this file; a new one is begun when it has grown large.
    File(PathBuf),
}

/// How important a message is, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// What helps to find a fault.
    Debug,
    /// What an operator wants to have read once.
    Info,
    /// Something is not as it should be, and is coped with.
    Warn,
    /// Something failed.
    Error,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

const LEVELS: &[(&str, Level)] = &[
    ("trace", Level::Trace),
    ("debug", Level::Debug),
    ("info", Level::Info),
    ("warn", Level::Warn),
    ("error", Level::Error),
];

/// Whether the output is a file.
const OUTPUTS: &[(&str, bool)] = &[("console", false), ("file", true)];

const FORMATS: &[(&str, Format)] = &[("text", Format::Text), ("json", Format::Json)];

impl Logging {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            level: section.key_or("level", choice(LEVELS), Level::Info),
            format: section.key_or("format", choice(FORMATS), Format::Text),
            output: output(section),
        }
    }
}

fn output(section: &mut Section<'_>) -> Output {
    let to_file = section.key_or("output", choice(OUTPUTS), false);
    let path = if to_file {
        section.required("file_path", file_path, "\"/var/log/dispa/dispa.log\"")
    } else {
        section.key("file_path", file_path)
    };
    path.filter(|_| to_file).map_or(Output::Console, Output::File)
}

fn file_path(value: &Value<'_>) -> Reading<PathBuf> {
    let parse = |text: &str| match text {
        "" => Err("it is empty"),
        text if text.ends_with('/') || text.contains('\0') => Err("not the path of a file"),
        text => Ok(PathBuf::from(text)),
    };
    parsed(parse, "write a path such as \"/var/log/dispa/dispa.log\"")(value)
}
