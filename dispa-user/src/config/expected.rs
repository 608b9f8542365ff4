//! Values of the wrong type.

use toml::de::DeValue;

use super::problem::{Problem, quoted};
use super::value::Value;

/// The type that a key's value should have.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected {
    Boolean,
    Integer,
    Text,
    Array,
    /// One `[section]`.
    Section,
    /// Any number of `[[section]]`.
    Sections,
}

impl Expected {
    /// The problem of a value that is not of this type.
    pub(super) fn mismatch(self, value: &Value<'_>) -> Problem {
        let found = value.get_ref();
        let title = format!("expected {}, found {}", self.name(), name(found));
        let problem = Problem::error(title).at(value.span(), "");
        match self.remedy(found) {
            Some(remedy) => problem.help(remedy),
            None => problem,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "true or false",
            Self::Integer => "an integer",
            Self::Text => "a string",
            Self::Array => "an array",
            Self::Section => "a table",
            Self::Sections => "an array of tables",
        }
    }

    /// The fix, where the mistake is one that people make.
    fn remedy(self, found: &DeValue<'_>) -> Option<String> {
        match (self, found) {
            (Self::Integer, DeValue::String(text)) => {
                unquote(text, text.trim().parse::<i64>().is_ok())
            }
            (Self::Boolean, DeValue::String(text)) => {
                unquote(text, text.trim().parse::<bool>().is_ok())
            }
            (Self::Array, DeValue::String(text)) => {
                Some(format!("write it in brackets: [\"{}\"]", text.escape_debug()))
            }
            (Self::Section, DeValue::Array(_)) => {
                Some("write its header once, in single brackets".into())
            }
            (Self::Sections, DeValue::Table(_)) => {
                Some("write its header in double brackets".into())
            }
            _ => None,
        }
    }
}

fn unquote(text: &str, fits: bool) -> Option<String> {
    fits.then(|| format!("write {} without quotes", quoted(text.trim())))
}

const fn name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a floating-point number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
