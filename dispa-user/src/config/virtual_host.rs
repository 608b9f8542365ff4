//! One `[[virtual_hosts]]`: a domain whose backends are chosen by a tag.

use std::sync::Arc;

use super::balancing::Balancing;
use super::domains::{Domains, pattern};
use super::problem::{Problem, Span, quoted};
use super::section::Section;
use super::target::tag;
use super::value::{Located, boolean, choice, located, nonempty};
use crate::rules::Pattern;

const CERTIFICATE_SOURCES: &[(&str, ())] = &[("file", ()), ("lets_encrypt", ())];

/// A domain whose backends are chosen by a tag.
#[derive(Debug)]
pub(super) struct VirtualHost {
    pub(super) pattern: Pattern,
    pub(super) pattern_span: Span,
    pub(super) tag: Arc<str>,
    pub(super) tag_span: Span,
    pub(super) balancing: Balancing,
}

impl VirtualHost {
    /// None if something is wrong with it, which is then reported. It is balanced like the targets
    /// unless it says otherwise.
    pub(super) fn read(section: &mut Section<'_>, balancing: &Balancing) -> Option<Self> {
        let domain = section.required("domain", located(pattern), "\"example.com\"");
        let tag = section.required("enabled_backends_tag", located(tag), "\"a\"");
        let balancing = section.table("load_balancing", |section| {
            let own = Balancing::read(section);
            if section.is_there() { own } else { balancing.clone() }
        });
        section.inert("http_to_https", boolean);
        section.inert("tls_enabled", boolean);
        section.table("certificate_source", |section| {
            section.inert("type", choice(CERTIFICATE_SOURCES));
            section.inert("cert_path", nonempty);
            section.inert("key_path", nonempty);
        });
        let Located { value: pattern, span: pattern_span } = domain?;
        let Located { value: tag, span: tag_span } = tag?;
        Some(Self { pattern, pattern_span, tag, tag_span, balancing })
    }

    /// What `[domains]` says of the same domain.
    pub(super) fn warn_of_conflicts(&self, root: &mut Section<'_>, domains: &Domains) {
        let shown = quoted(&self.pattern.to_string());
        let mut warn = |title: &str, other: &[Located<Pattern>], label: &str| {
            if let Some(other) = other.iter().find(|other| other.value == self.pattern) {
                let problem = Problem::warning(format!("{shown} {title}"));
                let problem = problem.at(self.pattern_span.clone(), "");
                root.report(problem.at(other.span.clone(), label));
            }
        };
        warn("is both a virtual host and excluded", &domains.exclude, "exclusion wins");
        warn(
            "is both a virtual host and in intercept_domains",
            &domains.intercept,
            "the virtual host says who answers",
        );
    }
}
