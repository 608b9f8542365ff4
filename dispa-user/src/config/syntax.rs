//! From text to a TOML tree with places.

use toml::Spanned;
use toml::de::{DeTable, Error};

use super::problem::{Problem, quoted};

/// What `toml` calls a key or table that is defined again. A test notices if the wording changes.
const DUPLICATE: &str = "duplicate key";

/// A parsed document.
#[derive(Debug)]
pub(super) struct Parsed<'d> {
    pub(super) tree: Spanned<DeTable<'d>>,
    pub(super) problems: Vec<Problem>,
    /// Whether what the tree says is what the person meant: a repeated key does no harm to the
    /// rest, but after an unclosed bracket keys may land in the wrong table.
    pub(super) legible: bool,
}

impl<'d> Parsed<'d> {
    pub(super) fn new(text: &'d str) -> Self {
        let (tree, errors) = DeTable::parse_recoverable(text);
        Self {
            tree,
            legible: errors.iter().all(|error| error.message() == DUPLICATE),
            problems: errors.iter().map(|error| problem(text, error)).collect(),
        }
    }
}

fn problem(text: &str, error: &Error) -> Problem {
    let span = error.span().unwrap_or_default();
    if error.message() == DUPLICATE {
        let key = text.get(span.clone()).unwrap_or_default();
        let problem = Problem::error(format!("{} is defined twice", quoted(key)));
        return problem.at(span, "").help("remove or merge one of the two");
    }
    Problem::error(format!("not valid TOML: {}", error.message())).at(span, "")
}
