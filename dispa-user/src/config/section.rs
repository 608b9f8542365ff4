//! Reading a table of the document key by key.
//!
//! Asking for a key is what makes it known: one line adds a key to the configuration, and whatever
//! nobody asked for is reported as unknown.

use toml::de::{DeTable, DeValue};

use super::expected::Expected;
use super::findings::Findings;
use super::problem::{Problem, Span, enumerated};
use super::shape::{Known, What, shape_of};
use super::value::{Reading, Value};

/// One table of the document, present or not, while it is being read.
#[derive(Debug)]
pub(super) struct Section<'d> {
    /// Its keys' prefix: `targets.load_balancing`; nothing for the whole document.
    path: String,
    /// Its header as it is written: `[[targets.targets]]`.
    header: String,
    /// Where its header is, if it is there.
    span: Option<Span>,
    table: Option<&'d DeTable<'d>>,
    known: Vec<&'static str>,
    /// The keys that are there, known, and without effect.
    inert: Vec<&'static str>,
    findings: Findings,
    /// What is asked for, in its order, where that is all that is wanted.
    outline: Option<Vec<Known>>,
}

impl<'d> Section<'d> {
    /// Reads the whole document with `read`. Returns what it made, and all that is wrong.
    pub(super) fn read_document<T>(
        table: &'d DeTable<'d>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> (T, Findings) {
        let mut root = Self::new(String::new(), String::new(), None, Some(table));
        let value = read(&mut root);
        (value, root.finish())
    }

    /// All that `read` asks for.
    pub(super) fn outline_of<T>(read: impl FnOnce(&mut Section<'static>) -> T) -> Vec<Known> {
        let mut root = Section::new(String::new(), String::new(), None, None);
        root.outline = Some(Vec::new());
        read(&mut root);
        root.outline.unwrap_or_default()
    }

    const fn new(
        path: String,
        header: String,
        span: Option<Span>,
        table: Option<&'d DeTable<'d>>,
    ) -> Self {
        Self {
            path,
            header,
            span,
            table,
            known: Vec::new(),
            inert: Vec::new(),
            findings: Findings::new(),
            outline: None,
        }
    }

    /// Where its header is; none if it is not there.
    pub(super) fn span(&self) -> Option<Span> {
        self.span.clone()
    }

    /// Whether the document has this section at all.
    pub(super) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// Whether a key is there, whatever its value.
    pub(super) fn has(&self, name: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(name))
    }

    /// The value of an optional key; none also if it is wrong, which is then reported.
    pub(super) fn key<T>(
        &mut self,
        name: &'static str,
        kind: impl Fn(&Value<'_>) -> Reading<T>,
    ) -> Option<T> {
        self.note(name, || What::Key { shape: shape_of(&kind), required: false });
        let value = self.find(name)?;
        let path = self.path_of(name);
        kind(value)
            .map_err(|problems| {
                let problems = problems.into_iter().map(|problem| problem.of_key(&path));
                self.findings.report_all(problems);
            })
            .ok()
    }

    /// The value of a key that has a default.
    pub(super) fn key_or<T>(
        &mut self,
        name: &'static str,
        kind: impl Fn(&Value<'_>) -> Reading<T>,
        default: T,
    ) -> T {
        self.key(name, kind).unwrap_or(default)
    }

    /// The value of a key that must be there; `example` is one, as TOML.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        kind: impl Fn(&Value<'_>) -> Reading<T>,
        example: &str,
    ) -> Option<T> {
        if self.find(name).is_none() {
            let problem = Problem::error(format!("`{name}` is missing in {}", self.header));
            self.report_here(problem.help(format!("add `{name} = {example}`")));
        }
        self.note(name, || What::Key { shape: shape_of(&kind), required: true });
        self.key(name, kind)
    }

    /// Notes that it is asked for, the first time.
    fn note(&mut self, name: &'static str, what: impl FnOnce() -> What) {
        let Some(outline) = &mut self.outline else { return };
        if !outline.iter().any(|it| it.name == name && it.section == self.header) {
            outline.push(Known { section: self.header.clone(), name, what: what() });
        }
    }

    /// Reads a section of this one; what is found in it is found in this one.
    fn read_section<T>(&mut self, mut section: Self, read: impl FnOnce(&mut Self) -> T) -> T {
        section.outline = self.outline.as_ref().map(|_| Vec::new());
        let read = read(&mut section);
        if let (Some(all), Some(inner)) = (&mut self.outline, section.outline.take()) {
            all.extend(inner);
        }
        self.findings.absorb(section.finish());
        read
    }

    /// A key that is checked, and has no effect yet.
    pub(super) fn inert<T>(&mut self, name: &'static str, kind: impl Fn(&Value<'_>) -> Reading<T>) {
        if self.find(name).is_some() {
            self.inert.push(name);
        }
        self.key(name, kind);
    }

    /// A `[section]` in this one. `read` is called even if it is absent: it has defaults.
    pub(super) fn table<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Section<'d>) -> T,
    ) -> T {
        let value = self.find(name);
        let table = value.and_then(|value| value.get_ref().as_table());
        if let (Some(value), None) = (value, table) {
            self.report_mismatch(name, Expected::Section, value);
        }
        let path = self.path_of(name);
        let header = format!("[{path}]");
        self.note(name, || What::Section);
        self.read_section(Section::new(path, header, value.map(Value::span), table), read)
    }

    /// The `[[section]]`s in this one, in their order.
    pub(super) fn tables<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&mut Section<'d>) -> T,
    ) -> Vec<T> {
        if self.outline.is_some() {
            self.note(name, || What::Sections);
            let path = self.path_of(name);
            let header = format!("[[{path}]]");
            self.read_section(Section::new(path, header, None, None), read);
            return Vec::new();
        }
        let Some(value) = self.find(name) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            self.report_mismatch(name, Expected::Sections, value);
            return Vec::new();
        };
        array.iter().filter_map(|item| self.element(name, item, &read)).collect()
    }

    fn element<T>(
        &mut self,
        name: &'static str,
        value: &'d Value<'d>,
        read: impl Fn(&mut Section<'d>) -> T,
    ) -> Option<T> {
        let DeValue::Table(table) = value.get_ref() else {
            self.report_mismatch(name, Expected::Section, value);
            return None;
        };
        let path = self.path_of(name);
        let header = format!("[[{path}]]");
        let section = Section::new(path, header, Some(value.span()), Some(table));
        Some(self.read_section(section, read))
    }

    /// Reports a problem that has its own place.
    pub(super) fn report(&mut self, problem: Problem) {
        self.findings.report_all([problem]);
    }

    /// Reports a problem of the section as a whole.
    pub(super) fn report_here(&mut self, problem: Problem) {
        let problem = match &self.span {
            Some(span) => problem.at(span.clone(), ""),
            None => problem,
        };
        self.report(problem);
    }

    fn report_mismatch(&mut self, name: &str, expected: Expected, value: &Value<'_>) {
        self.report(expected.mismatch(value).of_key(&self.path_of(name)));
    }

    /// Looks up a key and makes it known.
    fn find(&mut self, name: &'static str) -> Option<&'d Value<'d>> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        self.table?.get(name)
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn finish(mut self) -> Findings {
        self.warn_of_inert_keys();
        for (key, _) in self.table.into_iter().flatten() {
            if !self.known.contains(&key.get_ref().as_ref()) {
                self.findings.unknown(&self.header, key.get_ref(), key.span());
            }
        }
        for name in self.known {
            self.findings.known(&self.header, name);
        }
        self.findings
    }

    fn warn_of_inert_keys(&mut self) {
        if self.inert.is_empty() {
            return;
        }
        let names = enumerated(self.inert.iter().copied(), "and");
        let have = if self.inert.len() == 1 { "has" } else { "have" };
        self.report_here(Problem::warning(format!(
            "{names} in {} {have} no effect yet in this version",
            self.header
        )));
    }
}
