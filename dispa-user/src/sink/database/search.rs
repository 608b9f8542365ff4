//! A query as SQL, the same for both databases but for the types of what is compared.

use std::{fmt::Write as _, time::Instant};

use jiff::Timestamp;
use uuid::Uuid;

use crate::{rules::Pattern, sink::query::Query};

/// A condition and an order, with the values of its `$1`, `$2` and so on.
#[derive(Debug)]
pub(super) struct Search {
    /// From `WHERE` on.
    pub(super) tail: String,
    pub(super) values: Vec<Value>,
    /// When nobody waits for the answer any more.
    pub(super) deadline: Option<Instant>,
}

/// What a column is compared with.
#[derive(Debug)]
pub(super) enum Value {
    Id(Uuid),
    Moment(Timestamp),
    Text(String),
    Integer(i32),
    Real(f64),
}

impl Search {
    pub(super) fn new(query: &Query, before: Option<Uuid>, most: usize) -> Self {
        let Query { since, until, host, status, process, slower_than, deadline } = query;
        let (tail, values) = ("WHERE 1 = 1".to_owned(), Vec::new());
        let mut search = Self { tail, values, deadline: *deadline };
        search.and("id <", before.map(Value::Id));
        search.and("timestamp >=", since.map(Value::Moment));
        search.and("timestamp <", until.map(Value::Moment));
        search.and("status_code >=", status.map(|(low, _)| Value::Integer(low.into())));
        search.and("status_code <=", status.map(|(_, high)| Value::Integer(high.into())));
        search.and("process =", process.clone().map(Value::Text));
        search.and("duration_ms >", slower_than.map(|it| Value::Real(it.as_secs_f64() * 1e3)));
        match host {
            Some(Pattern::Exact(name)) => {
                search.and("host =", Some(Value::Text(name.to_string())));
            }
            Some(Pattern::Wildcard(suffix)) => {
                // `_` is a letter of host names, and any letter to LIKE; `%` and `!` are none.
                let suffix = suffix.as_str().replace('_', "!_");
                search.and("host LIKE", Some(Value::Text(format!("%_.{suffix}"))));
                search.tail.push_str(" ESCAPE '!'");
            }
            None => {}
        }
        let _ = write!(search.tail, " ORDER BY id DESC LIMIT {most}");
        search
    }

    fn and(&mut self, comparison: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.values.push(value);
            // Writing to a string cannot fail.
            let _ = write!(self.tail, " AND {comparison} ${}", self.values.len());
        }
    }
}
