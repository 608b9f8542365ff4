//! From text to a TOML tree with places.

use toml::Spanned;
use toml::de::{DeTable, Error};

use super::problem::{Problem, quoted};

/// What `toml` calls a key or table that is defined again. A test notices if the wording changes.
const DUPLICATE: &str = "duplicate key";

/// What `toml` calls an array that goes on to the end of the document: whatever follows its last element
/// is one more error.
const UNCLOSED: &str = "unclosed array, expected `]`";
/// What the first of them is called.
const FIRST_BEHIND: &str = "missing comma between array elements, expected `,`";

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
            problems: problems(text, &errors),
        }
    }
}

/// Every error, but for those that an array left open makes of what comes after it.
fn problems(text: &str, errors: &[Error]) -> Vec<Problem> {
    let mut errors: Vec<&Error> = errors.iter().collect();
    errors.sort_by_key(|error| error.span().map_or(usize::MAX, |span| span.start));
    let is_open = errors.iter().any(|error| error.message() == UNCLOSED);
    let behind = errors.iter().position(|error| is_open && error.message() == FIRST_BEHIND);
    let own = errors.get(..behind.unwrap_or(errors.len())).unwrap_or_default();
    let mut problems: Vec<Problem> = own.iter().map(|error| problem(text, error)).collect();
    if let (true, Some(first)) = (own.is_empty(), behind.and_then(|first| errors.get(first))) {
        let title = "not valid TOML: an array before this is not closed";
        let problem = Problem::error(title).at(first.span().unwrap_or_default(), "");
        problems.push(problem.help("end it with `]`"));
    }
    problems
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
