//! What `dispa top` shows, apart from how.

use std::{
    cmp::Ordering,
    collections::{HashMap, VecDeque},
    fmt,
};

use serde::Serialize;

use crate::admin::{Activity, Figures, Named};

/// A name that was busy stays for so many seconds.
const KEPT: usize = 10;

/// By what exchanges are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Domains,
    Targets,
    Processes,
}

/// By what the table is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Column {
    #[default]
    Requests,
    Errors,
    Latency,
    Bytes,
    Name,
}

/// The last seconds, and how they are looked at.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// The newest first.
    seconds: VecDeque<Activity>,
    kind: Kind,
    column: Column,
    reversed: bool,
    paused: bool,
    first: usize,
}

/// One line: a name, and what its last second came to, each second.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) requests: f64,
    pub(super) errors: f64,
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    /// Of request and response bodies.
    pub(super) bytes: f64,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Domains, Self::Targets, Self::Processes];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Domains => "domains",
            Self::Targets => "targets",
            Self::Processes => "processes",
        }
    }

    fn of(self, activity: &Activity) -> &[Named] {
        match self {
            Self::Domains => &activity.domains,
            Self::Targets => &activity.targets,
            Self::Processes => &activity.processes,
        }
    }

    fn after(self, steps: usize) -> Self {
        let place = Self::ALL.iter().position(|kind| *kind == self).unwrap_or_default();
        Self::ALL.into_iter().cycle().nth(place + steps).unwrap_or_default()
    }
}

impl Board {
    /// A second has passed.
    pub(super) fn take(&mut self, activity: &Activity) {
        if !self.paused {
            self.seconds.push_front(activity.clone());
            self.seconds.truncate(KEPT);
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn column(&self) -> Column {
        self.column
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// The last second; none before the first has passed.
    pub(super) fn last(&self) -> Option<&Activity> {
        self.seconds.front()
    }

    pub(super) fn next_kind(&mut self) {
        (self.kind, self.first) = (self.kind.after(1), 0);
    }

    pub(super) fn previous_kind(&mut self) {
        (self.kind, self.first) = (self.kind.after(Kind::ALL.len() - 1), 0);
    }

    /// By this column; once more: the other way round.
    pub(super) fn sort_by(&mut self, column: Column) {
        self.reversed = self.column == column && !self.reversed;
        self.column = column;
    }

    pub(super) fn pause(&mut self) {
        self.paused = !self.paused;
    }

    pub(super) fn scroll(&mut self, lines: isize) {
        let last = self.sorted().len().saturating_sub(1);
        self.first = self.first.saturating_add_signed(lines).min(last);
    }

    /// The lines to show, from the first.
    pub(super) fn lines(&self) -> Vec<Line> {
        self.sorted().into_iter().skip(self.first).collect()
    }

    fn sorted(&self) -> Vec<Line> {
        let Some(last) = self.last() else { return Vec::new() };
        let now = self.kind.of(last).iter();
        let mut lines: HashMap<&str, Line> = now
            .map(|named| (&*named.name, Line::of(&named.name, &named.figures, last.seconds)))
            .collect();
        for before in self.seconds.iter().skip(1) {
            for Named { name, .. } in self.kind.of(before) {
                lines.entry(name).or_insert_with(|| Line { name: name.clone(), ..Line::default() });
            }
        }
        let mut lines: Vec<Line> = lines.into_values().collect();
        lines.sort_by(|a, b| {
            let order = self.column.order(a, b);
            let order = if self.reversed { order.reverse() } else { order };
            order.then_with(|| a.name.cmp(&b.name))
        });
        lines
    }

    /// One second, for those who do not look on.
    pub(super) fn still(activity: &Activity) -> Still<'_> {
        Still(activity)
    }
}

impl Column {
    /// The most first; names from A.
    fn order(self, a: &Line, b: &Line) -> Ordering {
        match self {
            Self::Requests => b.requests.total_cmp(&a.requests),
            Self::Errors => b.errors.total_cmp(&a.errors),
            Self::Latency => b.p99_ms.unwrap_or_default().total_cmp(&a.p99_ms.unwrap_or_default()),
            Self::Bytes => b.bytes.total_cmp(&a.bytes),
            Self::Name => a.name.cmp(&b.name),
        }
    }
}

impl Line {
    pub(super) fn of(name: &str, figures: &Figures, seconds: f64) -> Self {
        let each_second = |count: u64| {
            // Counts of a second are far below what an f64 holds exactly.
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            f64::from(count) / seconds.max(0.001)
        };
        let kibibytes = (figures.request_bytes.saturating_add(figures.response_bytes)) / 1024;
        Self {
            name: name.to_owned(),
            requests: each_second(figures.requests),
            errors: each_second(figures.errors),
            p50_ms: figures.p50_ms,
            p99_ms: figures.p99_ms,
            bytes: each_second(kibibytes) * 1024.0,
        }
    }

    /// Its cells after the name.
    pub(super) fn cells(&self) -> [String; 5] {
        let latency = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}"));
        [
            format!("{:.0}", self.requests),
            format!("{:.0}", self.errors),
            latency(self.p50_ms),
            latency(self.p99_ms),
            format!("{:.1}", self.bytes / 1_048_576.0),
        ]
    }
}

/// The heads of the cells after the name.
pub(super) const HEADS: [&str; 5] = ["req/s", "err/s", "p50 ms", "p99 ms", "MiB/s"];

/// One second as text, or, as JSON, as the daemon told it.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Still<'a>(&'a Activity);

impl fmt::Display for Still<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let activity = self.0;
        let row = |f: &mut fmt::Formatter<'_>, name: &str, cells: &[String; 5]| {
            let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:>9}")).collect();
            writeln!(f, "{name:<34}{}", cells.concat())
        };
        row(f, "", &HEADS.map(str::to_owned))?;
        row(f, "all", &Line::of("", &activity.total, activity.seconds).cells())?;
        for kind in Kind::ALL {
            writeln!(f, "{}", kind.name())?;
            for named in kind.of(activity) {
                let line = Line::of(&named.name, &named.figures, activity.seconds);
                row(f, &format!("  {}", named.name.escape_debug()), &line.cells())?;
            }
        }
        Ok(())
    }
}
