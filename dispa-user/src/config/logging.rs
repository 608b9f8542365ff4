//! `[logging]`: what the daemon says of itself. The traffic log, in the same section, is read by
//! `traffic_log`.

use super::section::Section;
use super::value::choice;

/// What the daemon says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logging {
    /// The least important level that is still written.
    pub level: Level,
    /// How a line looks.
    pub format: Format,
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

const FORMATS: &[(&str, Format)] = &[("text", Format::Text), ("json", Format::Json)];

impl Logging {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            level: section.key_or("level", choice(LEVELS), Level::Info),
            format: section.key_or("format", choice(FORMATS), Format::Text),
        }
    }
}
