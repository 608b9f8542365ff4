//! `[domains]`: what is intercepted.

use super::problem::{Problem, Span, quoted};
use super::section::Section;
use super::value::{Located, Reading, Value, boolean, list, located, parsed};
use crate::rules::{Pattern, Rules};

/// The rules, and where they come from.
#[derive(Debug)]
pub(super) struct Domains {
    pub(super) rules: Rules,
    /// The excluded patterns, as rules of their own.
    pub(super) exclusions: Rules,
    /// The first intercepted pattern; none if there is none.
    pub(super) first: Option<Span>,
}

type Patterns = Vec<Located<Pattern>>;

impl Domains {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let intercept = section.key_or("intercept_domains", list(located(pattern)), Vec::new());
        let exclude = section.key_or("exclude_domains", list(located(pattern)), Vec::new());
        if !section.key_or("wildcard_support", boolean, true) {
            refuse_wildcards(section, intercept.iter().chain(&exclude));
        }
        warn_of_repeats(section, &intercept);
        warn_of_repeats(section, &exclude);
        warn_of_conflicts(section, &intercept, &exclude);
        warn_of_idleness(section, &intercept);
        let exclude: Vec<Pattern> = values(exclude).collect();
        Self {
            first: intercept.first().map(|pattern| pattern.span.clone()),
            exclusions: Rules::new(exclude.clone(), []),
            rules: Rules::new(values(intercept), exclude),
        }
    }
}

fn pattern(value: &Value<'_>) -> Reading<Pattern> {
    parsed(
        Pattern::parse,
        "write a host name without scheme, port or path, for example \"example.com\" or \"*.example.com\"",
    )(value)
}

fn values(patterns: Patterns) -> impl Iterator<Item = Pattern> {
    patterns.into_iter().map(|pattern| pattern.value)
}

fn refuse_wildcards<'p>(
    section: &mut Section<'_>,
    patterns: impl Iterator<Item = &'p Located<Pattern>>,
) {
    for pattern in patterns.filter(|pattern| pattern.value.is_wildcard()) {
        let problem = Problem::error("a wildcard while `wildcard_support` is false");
        section.report(
            problem
                .at(pattern.span.clone(), "")
                .help("set `wildcard_support = true`, or list the hosts one by one"),
        );
    }
}

fn warn_of_repeats(section: &mut Section<'_>, patterns: &Patterns) {
    for (index, pattern) in patterns.iter().enumerate() {
        let mut before = patterns.iter().take(index);
        if let Some(first) = before.find(|before| before.value == pattern.value) {
            let title = format!("{} is listed twice", shown(&pattern.value));
            let problem = Problem::warning(title).at(pattern.span.clone(), "");
            section.report(problem.at(first.span.clone(), "first here"));
        }
    }
}

fn warn_of_conflicts(section: &mut Section<'_>, intercept: &Patterns, exclude: &Patterns) {
    for pattern in intercept {
        if let Some(other) = exclude.iter().find(|other| other.value == pattern.value) {
            let title = format!("{} is both intercepted and excluded", shown(&pattern.value));
            let problem = Problem::warning(title).at(pattern.span.clone(), "never intercepted");
            section.report(problem.at(other.span.clone(), "exclusion wins"));
        }
    }
}

fn warn_of_idleness(section: &mut Section<'_>, intercept: &Patterns) {
    if intercept.is_empty() {
        let problem = Problem::warning("no domain is intercepted");
        section.report_here(problem.help("name some: `intercept_domains = [\"example.com\"]`"));
    }
}

fn shown(pattern: &Pattern) -> String {
    quoted(&pattern.to_string())
}
