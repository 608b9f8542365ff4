//! One thing wrong with a configuration, and how it is shown.

use std::ops::Range;

use super::shape::Shape;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

/// Bytes of the document.
pub(super) type Span = Range<usize>;

/// One thing wrong (or odd) at some place, with a way out.
#[derive(Debug)]
pub(super) struct Problem {
    severity: Severity,
    title: String,
    /// The first is where it is; the others are where it comes from.
    marks: Vec<Mark>,
    help: Option<String>,
    /// What the key takes whose value is of the wrong type.
    pub(super) shape: Option<Box<Shape>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    Error,
    Warning,
}

#[derive(Debug)]
struct Mark {
    span: Span,
    label: String,
}

impl Problem {
    pub(super) fn error(title: impl Into<String>) -> Self {
        Self::new(Severity::Error, title.into())
    }

    pub(super) fn warning(title: impl Into<String>) -> Self {
        Self::new(Severity::Warning, title.into())
    }

    const fn new(severity: Severity, title: String) -> Self {
        Self { severity, title, marks: Vec::new(), help: None, shape: None }
    }

    /// Marks a place. The first call says where the problem is.
    pub(super) fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.marks.push(Mark { span, label: label.into() });
        self
    }

    /// Leaves out where it is: that line is not to be shown.
    pub(super) fn without_place(mut self) -> Self {
        self.marks.clear();
        self
    }

    /// Says what to do about it.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says what would be of the right type.
    pub(super) fn wants(mut self, shape: Shape) -> Self {
        self.shape = Some(Box::new(shape));
        self
    }

    /// Names the key whose value has the problem.
    pub(super) fn of_key(mut self, path: &str) -> Self {
        self.title = format!("`{path}`: {}", self.title);
        self
    }

    pub(super) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The order of problems in a report: as they come in the document, those about what is
    /// absent last.
    pub(super) fn position(&self) -> usize {
        self.marks.first().map_or(usize::MAX, |mark| mark.span.start)
    }
}

/// The document that problems are shown in.
#[derive(Debug)]
pub(super) struct Document<'a> {
    /// The file's path, as the person gave it.
    pub(super) name: &'a str,
    pub(super) text: &'a str,
    /// Whether to colour what is shown, for a terminal.
    pub(super) styled: bool,
}

impl Document<'_> {
    /// The problem as rustc would show it: title, place, caret, help.
    pub(super) fn render(&self, problem: &Problem) -> String {
        let renderer = if self.styled { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[self.group(problem)])
    }

    fn group<'p>(&'p self, problem: &'p Problem) -> Group<'p> {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let group = Group::with_title(level.primary_title(&problem.title));
        let group = if problem.marks.is_empty() {
            group.element(Origin::path(self.name))
        } else {
            group.element(self.snippet(&problem.marks))
        };
        let help = problem.help.as_deref().map(|help| Level::HELP.message(help));
        group.elements(help)
    }

    fn snippet<'p>(&'p self, marks: &'p [Mark]) -> Snippet<'p, annotate_snippets::Annotation<'p>> {
        let kinds = std::iter::once(AnnotationKind::Primary)
            .chain(std::iter::repeat(AnnotationKind::Context));
        let annotations = marks.iter().zip(kinds).map(|(mark, kind)| {
            let label = (!mark.label.is_empty()).then_some(mark.label.as_str());
            kind.span(mark.span.clone()).label(label)
        });
        Snippet::source(self.text).path(self.name).annotations(annotations)
    }
}

/// A text of the document inside a sentence, made safe to print.
pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", text.escape_debug())
}

/// `a`, `b` and `c`.
pub(super) fn enumerated<'a>(names: impl IntoIterator<Item = &'a str>, last: &str) -> String {
    let names: Vec<String> = names.into_iter().map(quoted).collect();
    match names.as_slice() {
        [rest @ .., final_one] if !rest.is_empty() => {
            format!("{} {last} {final_one}", rest.join(", "))
        }
        few => few.concat(),
    }
}
