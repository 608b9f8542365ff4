//! Kinds of values: each turns one TOML value into a checked one, or says what is wrong with it.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeInteger, DeValue};

use super::expected::Expected;
use super::problem::{Problem, Span, enumerated, quoted};
use super::shape::{Shape, shape_of};
use super::suggest::closest;

/// A value with its place in the document.
pub(super) type Value<'d> = Spanned<DeValue<'d>>;

/// What reading a value gives: a list may have several problems.
pub(super) type Reading<T> = Result<T, Vec<Problem>>;

/// One day. A longer time limit is a mistake of unit (milliseconds for seconds).
const MAX_SECONDS: u64 = 86_400;

/// A checked value that remembers where it was written.
#[derive(Debug)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) span: Span,
}

pub(super) fn boolean(value: &Value<'_>) -> Reading<bool> {
    let flag = value.get_ref().as_bool();
    flag.ok_or_else(|| vec![Expected::Boolean.mismatch(value).wants(Shape::Boolean)])
}

pub(super) fn text<'v>(value: &'v Value<'_>) -> Reading<&'v str> {
    let text = value.get_ref().as_str();
    text.ok_or_else(|| vec![Expected::Text.mismatch(value).wants(Shape::Text)])
}

/// A string with something in it besides spaces.
pub(super) fn nonempty(value: &Value<'_>) -> Reading<String> {
    let text = text(value)?;
    if text.trim().is_empty() {
        return Err(vec![Problem::error("cannot be empty").at(value.span(), "")]);
    }
    Ok(text.to_owned())
}

/// A string that `parse` accepts; its error becomes the problem, `example` the help.
pub(super) fn parsed<T, E: Display>(
    parse: impl Fn(&str) -> Result<T, E>,
    example: &str,
) -> impl Fn(&Value<'_>) -> Reading<T> {
    move |value| {
        parse(text(value)?).map_err(|error| {
            vec![Problem::error(error.to_string()).at(value.span(), "").help(example)]
        })
    }
}

/// An integer within `range`.
pub(super) fn integer<T>(range: RangeInclusive<T>) -> impl Fn(&Value<'_>) -> Reading<T>
where
    T: TryFrom<i128> + TryInto<i128> + Copy + PartialOrd + Display,
{
    move |value| {
        let Some(integer) = value.get_ref().as_integer() else {
            let bound = |bound: &T, open| (*bound).try_into().unwrap_or(open);
            let shape =
                Shape::Integer(bound(range.start(), i128::MIN), bound(range.end(), i128::MAX));
            return Err(vec![Expected::Integer.mismatch(value).wants(shape)]);
        };
        exact(integer).filter(|number| range.contains(number)).ok_or_else(|| {
            let bounds = format!("must be from {} to {}", range.start(), range.end());
            vec![Problem::error(format!("{integer} is out of range")).at(value.span(), bounds)]
        })
    }
}

/// A time limit: whole seconds, from 1.
pub(super) fn seconds(value: &Value<'_>) -> Reading<Duration> {
    let read = integer(1..=MAX_SECONDS)(value).map(Duration::from_secs);
    let plain = value.get_ref().as_str().is_some_and(|text| text.trim().parse::<u64>().is_ok());
    if value.get_ref().is_integer() || plain {
        return read;
    }
    let help = |problem: Problem| problem.help("write whole seconds as a number, such as 30");
    read.map_err(|problems| problems.into_iter().map(help).collect())
}

/// One of the names, which stand for values.
pub(super) fn choice<T: Copy>(
    names: &'static [(&'static str, T)],
) -> impl Fn(&Value<'_>) -> Reading<T> {
    move |value| {
        let Some(found) = value.get_ref().as_str() else {
            let all = names.iter().map(|(name, _)| *name).collect();
            return Err(vec![Expected::Text.mismatch(value).wants(Shape::Choice(all))]);
        };
        let choice = names.iter().find(|(name, _)| *name == found);
        choice.map(|(_, choice)| *choice).ok_or_else(|| {
            let known = || names.iter().map(|(name, _)| *name);
            let all = format!("must be {}", enumerated(known(), "or"));
            let problem = Problem::error(format!("unknown value {}", quoted(found)));
            vec![did_you_mean(problem.at(value.span(), all), closest(found, known()))]
        })
    }
}

/// An array of values of one kind. Every bad one is reported.
pub(super) fn list<T>(
    kind: impl Fn(&Value<'_>) -> Reading<T>,
) -> impl Fn(&Value<'_>) -> Reading<Vec<T>> {
    move |value| {
        let Some(array) = value.get_ref().as_array() else {
            let shape = Shape::Array(Box::new(shape_of(&kind)));
            return Err(vec![Expected::Array.mismatch(value).wants(shape)]);
        };
        let mut problems = Vec::new();
        let mut good = Vec::with_capacity(array.len());
        for item in array {
            match kind(item) {
                Ok(item) => good.push(item),
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() { Ok(good) } else { Err(problems) }
    }
}

/// Adds the place to a kind.
pub(super) fn located<T>(
    kind: impl Fn(&Value<'_>) -> Reading<T>,
) -> impl Fn(&Value<'_>) -> Reading<Located<T>> {
    move |value| {
        let span = value.span();
        kind(value).map(|value| Located { value, span })
    }
}

pub(super) fn did_you_mean(problem: Problem, meant: Option<&str>) -> Problem {
    match meant {
        Some(meant) => problem.help(format!("did you mean {}?", quoted(meant))),
        None => problem,
    }
}

/// The integer if `T` can hold it. TOML documents may write larger ones than any machine type.
fn exact<T: TryFrom<i128>>(integer: &DeInteger<'_>) -> Option<T> {
    let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok()?;
    T::try_from(number).ok()
}
