//! All that was found while reading: problems, and the keys that nobody knew.

use std::collections::BTreeSet;

use super::problem::{Problem, Span, enumerated, quoted};
use super::suggest::closest;
use super::value::did_you_mean;

/// What reading found out. Unknown keys are judged at the end, once every key is known: one may
/// be in the wrong section.
#[derive(Debug)]
pub(super) struct Findings {
    problems: Vec<Problem>,
    unknown: Vec<Unknown>,
    /// Section and key.
    known: BTreeSet<(String, &'static str)>,
}

#[derive(Debug)]
struct Unknown {
    section: String,
    key: String,
    span: Span,
}

impl Findings {
    pub(super) const fn new() -> Self {
        Self { problems: Vec::new(), unknown: Vec::new(), known: BTreeSet::new() }
    }

    pub(super) fn report_all(&mut self, problems: impl IntoIterator<Item = Problem>) {
        self.problems.extend(problems);
    }

    pub(super) fn unknown(&mut self, section: &str, key: &str, span: Span) {
        self.unknown.push(Unknown { section: section.to_owned(), key: key.to_owned(), span });
    }

    pub(super) fn known(&mut self, section: &str, key: &'static str) {
        self.known.insert((section.to_owned(), key));
    }

    /// Takes over what was found in a section of this one.
    pub(super) fn absorb(&mut self, inner: Self) {
        self.problems.extend(inner.problems);
        self.unknown.extend(inner.unknown);
        self.known.extend(inner.known);
    }

    /// Every problem, in the order of the document.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let unknown = self.unknown.iter().map(|unknown| self.judge(unknown));
        let mut problems: Vec<Problem> = unknown.collect();
        problems.extend(self.problems);
        problems.sort_by_key(Problem::position);
        problems
    }

    /// Every section and key that was asked for.
    #[cfg(test)]
    pub(super) fn known_keys(&self) -> impl Iterator<Item = (&str, &str)> {
        self.known.iter().map(|(section, key)| (section.as_str(), *key))
    }

    fn judge(&self, unknown: &Unknown) -> Problem {
        let Unknown { section, key, span } = unknown;
        let place = if section.is_empty() { "at the top level" } else { &format!("in {section}") };
        let problem = Problem::error(format!("unknown key {} {place}", quoted(key)));
        let problem = problem.at(span.clone(), "");

        let siblings = || self.known.iter().filter(|(s, _)| s == section).map(|(_, key)| *key);
        if let Some(meant) = closest(key, siblings()) {
            return did_you_mean(problem, Some(meant));
        }
        let homes = self.known.iter().filter(|(_, k)| k == key).map(|(s, _)| s.as_str());
        let homes: Vec<&str> = homes.filter(|home| !home.is_empty()).collect();
        if homes.is_empty() {
            return problem.help(format!("the keys {place} are {}", enumerated(siblings(), "and")));
        }
        problem.help(format!("it belongs in {}", homes.join(" or ")))
    }
}
