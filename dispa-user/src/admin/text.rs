//! The explanation for people: a few aligned lines, what happens last.

use std::fmt;

use super::explanation::{Backend, Case, Explanation, Learned, Owner, Pool, Slot, Source};

/// The pool that is not chosen by a tag.
const DEFAULT_POOL: &str = "default";

/// Columns of the labels on the left.
const LABEL: usize = 10;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "subject", &self.of)?;
        line(f, "rule", &self.rule_line())?;
        let mut label = "address";
        for learned in &self.addresses {
            line(f, label, &learned.to_string())?;
            label = "";
        }
        if self.addresses.is_empty() && self.rule.is_some() {
            line(f, label, "none known")?;
        }
        if let Some(pool) = &self.pool {
            line(f, "pool", &pool.to_string())?;
        }
        if let Some(cgroup) = &self.cgroup {
            line(f, "programs", &format!("only those in and below {cgroup}"))?;
        }
        if self.by_program {
            let which = "those that intercept.include and intercept.exclude leave";
            line(f, "programs", which)?;
        }
        line(f, "known by", self.source.words())?;
        for case in &self.cases {
            line(f, &case.label(), case.verdict.sentence())?;
            line(f, "", &format!("({})", case.reasons.join("; ")))?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, label: &str, text: &str) -> fmt::Result {
    writeln!(f, "{label:<LABEL$} {text}")
}

impl Explanation {
    fn rule_line(&self) -> String {
        match (&self.rule, &self.exclusion) {
            (Some(rule), _) => rule.clone(),
            (None, Some(exclusion)) => format!("none: {exclusion} is excluded"),
            (None, None) => "none".to_owned(),
        }
    }
}

impl Source {
    const fn words(self) -> &'static str {
        match self {
            Self::Daemon => "the running daemon",
            Self::File => "the configuration file alone; no daemon was asked",
        }
    }
}

impl Case {
    fn label(&self) -> String {
        format!("{} {}", self.protocol.name(), self.port)
    }
}

impl fmt::Display for Learned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owners = joined(&self.owners, "nobody's");
        write!(f, "{}: {owners}; {}", self.address, joined(&self.slots, "no slot"))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {} s", self.name, self.remaining_seconds)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {} for port {}", self.address, self.port)
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, balancing, backends } = self;
        write!(f, "{balancing} over {}", joined(backends, "nothing"))?;
        if name == DEFAULT_POOL { Ok(()) } else { write!(f, " (tag {name})") }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.url)?;
        if self.weight == 1 { Ok(()) } else { write!(f, " (weight {})", self.weight) }
    }
}

/// Enumerates; `none` where there is nothing.
fn joined<T: fmt::Display>(items: &[T], none: &str) -> String {
    if items.is_empty() {
        return none.to_owned();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
