//! What values a key takes, as its kind says itself when it is given what no key takes.

use std::str::FromStr as _;

use toml::{Spanned, de::DeValue, value::Datetime};

use super::value::{Reading, Value};

/// What values a key takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Boolean,
    /// From the first to the second.
    Integer(i128, i128),
    Text,
    /// One of these.
    Choice(Vec<&'static str>),
    /// Any number of what is in it.
    Array(Box<Self>),
    /// The one or the other.
    Either(Box<Self>, Box<Self>),
}

/// A section, or a key of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The header of the section that it is in: `[server]`, or nothing for the whole document.
    pub(super) section: String,
    pub(super) name: &'static str,
    pub(super) what: What,
}

/// What is behind a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A key.
    Key { shape: Shape, required: bool },
    /// `[section]`.
    Section,
    /// Any number of `[[section]]`.
    Sections,
}

/// What `kind` takes: it says so of a date, which no key of ours is.
pub(super) fn shape_of<T>(kind: impl Fn(&Value<'_>) -> Reading<T>) -> Shape {
    let Ok(date) = Datetime::from_str("1970-01-01") else { return Shape::Text };
    let refused = kind(&Spanned::new(0..0, DeValue::Datetime(date))).err();
    let shape = refused.and_then(|problems| problems.into_iter().find_map(|it| it.shape));
    shape.map_or(Shape::Text, |shape| *shape)
}
