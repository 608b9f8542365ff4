//! `[domains]`: what is intercepted.

use std::collections::HashMap;

use super::pools::DEFAULT_POOL;
use super::problem::{Problem, Span, quoted};
use super::section::Section;
use super::value::{Located, Reading, Value, boolean, list, located, parsed};
use crate::rules::{Pattern, Rule, Rules};

/// What is intercepted, and what is not.
#[derive(Debug)]
pub(super) struct Domains {
    pub(super) intercept: Patterns,
    pub(super) exclude: Patterns,
    /// Whether patterns may have a `*`.
    wildcards: bool,
    /// The header of the section.
    pub(super) span: Option<Span>,
}

type Patterns = Vec<Located<Pattern>>;

impl Domains {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let intercept = section.key_or("intercept_domains", list(located(pattern)), Vec::new());
        let exclude = section.key_or("exclude_domains", list(located(pattern)), Vec::new());
        let wildcards = section.key_or("wildcard_support", boolean, true);
        warn_of_repeats(section, &intercept);
        warn_of_repeats(section, &exclude);
        warn_of_conflicts(section, &intercept, &exclude);
        warn_of_cover(section, &intercept, &exclude);
        let domains = Self { intercept, exclude, wildcards, span: section.span() };
        let all = domains.intercept.iter().chain(&domains.exclude);
        domains.refuse_wildcards(section, all.map(|pattern| (&pattern.value, &pattern.span)));
        domains
    }

    /// If there are to be none.
    pub(super) fn refuse_wildcards<'p>(
        &self,
        section: &mut Section<'_>,
        patterns: impl Iterator<Item = (&'p Pattern, &'p Span)>,
    ) {
        for (_, span) in patterns.filter(|(pattern, _)| !self.wildcards && pattern.is_wildcard()) {
            let problem = Problem::error("a wildcard while `wildcard_support` is false");
            let help = "set `wildcard_support = true`, or list the hosts one by one";
            section.report(problem.at(span.clone(), "").help(help));
        }
    }

    /// The rules: `[domains]` leads to the default pool, and `others` where they say.
    pub(super) fn into_rules(self, others: Vec<Rule>) -> Rules {
        let own = values(self.intercept).map(|pattern| Rule { pattern, pool: DEFAULT_POOL });
        Rules::new(own.chain(others), values(self.exclude))
    }
}

pub(super) fn pattern(value: &Value<'_>) -> Reading<Pattern> {
    let help = match value.get_ref().as_str().and_then(host_in) {
        Some(host) => format!("write the host alone: \"{host}\""),
        None => "write a host name without scheme, port or path, for example \"example.com\" or \
                 \"*.example.com\""
            .to_owned(),
    };
    parsed(Pattern::parse, &help)(value)
}

/// The pattern in what has a scheme, a port or a path as well.
fn host_in(text: &str) -> Option<Pattern> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    Pattern::parse(host).ok().filter(|_| host.len() < text.len())
}

fn values(patterns: Patterns) -> impl Iterator<Item = Pattern> {
    patterns.into_iter().map(|pattern| pattern.value)
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

/// A wildcard below one of its own list says nothing new (a name does: it is asked for before any
/// program does); one below an excluded wildcard says nothing at all.
fn warn_of_cover(section: &mut Section<'_>, intercept: &Patterns, exclude: &Patterns) {
    let (wide, excluded) = (Wildcards::of(intercept), Wildcards::of(exclude));
    let mut warn = |pattern: &Located<Pattern>, wider: &Located<Pattern>, title: &str, label| {
        let title = format!("{} {title} {}", shown(&pattern.value), shown(&wider.value));
        let problem = Problem::warning(title).at(pattern.span.clone(), "");
        section.report(problem.at(wider.span.clone(), label));
    };
    for pattern in intercept {
        if let Some(wider) = excluded.above(&pattern.value) {
            warn(pattern, wider, "is never intercepted: it is below", "exclusion wins");
        } else if let Some(wider) =
            wide.above(&pattern.value).filter(|_| pattern.value.is_wildcard())
        {
            warn(pattern, wider, "is intercepted already by", "this is wider");
        }
    }
    for pattern in exclude {
        if let Some(wider) = excluded.above(&pattern.value) {
            warn(pattern, wider, "is excluded already by", "this is wider");
        }
    }
}

/// The wildcards of a list, by what they are below.
struct Wildcards<'p>(HashMap<&'p str, &'p Located<Pattern>>);

impl<'p> Wildcards<'p> {
    fn of(patterns: &'p Patterns) -> Self {
        let wildcards = patterns.iter().filter(|pattern| pattern.value.is_wildcard());
        Self(wildcards.map(|pattern| (pattern.value.host().as_str(), pattern)).collect())
    }

    /// The closest wildcard that matches all that `pattern` does, and more.
    fn above(&self, pattern: &Pattern) -> Option<&'p Located<Pattern>> {
        let name = pattern.host().as_str();
        let mut parents = name.match_indices('.').filter_map(|(dot, _)| name.get(dot + 1..));
        parents.find_map(|parent| self.0.get(parent).copied())
    }
}

fn shown(pattern: &Pattern) -> String {
    quoted(&pattern.to_string())
}
