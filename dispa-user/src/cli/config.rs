//! `dispa config`: the configuration's schema, its reference, and what counts in the end.

use std::{fmt, fs, path::Path};

use super::{CliError, write_answer, write_out};
use crate::config::{Config, ConfigError, Origin, Overrides, REFERENCE, Setting, text_of};
use serde::Serialize;

/// Prints the JSON Schema.
pub(super) fn schema() -> Result<(), CliError> {
    write_out(format!("{:#}\n", Config::schema()).as_bytes()).map(drop)
}

/// Prints the commented file with every key.
pub(super) fn reference() -> Result<(), CliError> {
    write_out(REFERENCE.as_bytes()).map(drop)
}

/// Prints what counts, and, if that is wanted, where each value came from.
pub(super) fn show(
    file: &Path,
    overrides: &Overrides,
    origins: bool,
    json: bool,
) -> Result<(), CliError> {
    let unreadable = |source| ConfigError::Unreadable { path: file.to_owned(), source };
    let bytes = fs::read(file).map_err(unreadable)?;
    let name = file.to_string_lossy();
    let settings = Config::effective(text_of(&bytes, file)?, &name, overrides)?;
    write_answer(&Listing { file: &name, settings, origins }, json)
}

/// All settings, as a file that says the same.
#[derive(Serialize)]
#[serde(transparent)]
struct Listing<'f> {
    #[serde(skip)]
    file: &'f str,
    settings: Vec<Setting>,
    #[serde(skip)]
    origins: bool,
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut place = None;
        for setting in &self.settings {
            let here = (&setting.section, setting.index);
            if place != Some(here) {
                let gap = if place.is_some() { "\n" } else { "" };
                writeln!(f, "{gap}{}", setting.section)?;
                place = Some(here);
            }
            self.line(f, setting)?;
        }
        Ok(())
    }
}

impl Listing<'_> {
    fn line(&self, f: &mut fmt::Formatter<'_>, setting: &Setting) -> fmt::Result {
        let Setting { key, value, origin, .. } = setting;
        let set = match value {
            Some(value) => format!("{key} = {value}"),
            None => format!("#{key}"),
        };
        match (origin, self.origins || value.is_none()) {
            (_, false) => writeln!(f, "{set}"),
            (Origin::File(line), true) => writeln!(f, "{set:<40} # {}:{line}", self.file),
            (origin, true) => writeln!(f, "{set:<40} # {origin}"),
        }
    }
}
