//! The parts of the schema that load, are checked, and have no effect yet: a file written for a
//! later version says nothing wrong, and its owner is told that it says nothing yet.

use super::section::Section;
use super::value::{boolean, choice, integer, nonempty, seconds};

/// A century.
const MAX_RETENTION_DAYS: u32 = 36_500;
/// More connections than a database server takes from one client.
const MAX_DATABASE_CONNECTIONS: u32 = 10_000;

/// Where traffic records go.
const LOG_TYPES: &[(&str, ())] = &[("file", ()), ("database", ()), ("both", ())];

/// The keys of `[logging]` that describe the traffic log.
pub(super) fn traffic_log(section: &mut Section<'_>) {
    section.inert("enabled", boolean);
    section.inert("type", choice(LOG_TYPES));
    section.inert("retention_days", integer(1..=MAX_RETENTION_DAYS));
    section.table("database", database);
    section.table("file", file);
}

fn database(section: &mut Section<'_>) {
    section.inert("url", nonempty);
    section.inert("max_connections", integer(1..=MAX_DATABASE_CONNECTIONS));
    section.inert("connection_timeout", seconds);
}

fn file(section: &mut Section<'_>) {
    section.inert("directory", nonempty);
    section.inert("max_file_size", integer(1..=i64::MAX));
    section.inert("rotation", boolean);
}
