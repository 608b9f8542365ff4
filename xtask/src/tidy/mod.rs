//! `tidy`: the habits no compiler checks, drawn from the code and held against it.
//!
//! A breach fails; a file or function of unusual length is only asked about.

mod floors;
mod habits;
mod lexer;
mod sizes;
mod source;

use std::fmt;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::{shell, workspace};
use floors::Floors;
use source::Source;

/// The file that names the rooms and their floors.
const HOUSE: &str = "dispa-user/src/lib.rs";

/// Something to be said about a line of a file.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Checks every Rust file of the repository.
pub(crate) fn tidy() -> Result<()> {
    shell::step("tidy", "the floors of the house, and the habits no compiler checks");
    let house = fs::read_to_string(workspace::path(HOUSE)).context(HOUSE)?;
    let floors = Floors::parse(&house).context(HOUSE)?;
    let sources = source::all(workspace::root())?;

    let mut breaches = floors::check(&floors, &sources);
    breaches.extend(sources.iter().flat_map(habits::check));
    for question in sources.iter().flat_map(sizes::questions) {
        println!("question: {question}");
    }
    for breach in &breaches {
        println!("breach: {breach}");
    }
    if !breaches.is_empty() {
        bail!("the house is not tidy ({} breaches)", breaches.len());
    }
    Ok(())
}
