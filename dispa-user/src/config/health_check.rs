//! `[targets.health_check]`: when a target is not used, and when it is again.

use std::{ops::RangeInclusive, time::Duration};

use http::uri::PathAndQuery;

use super::expected::Expected;
use super::problem::Problem;
use super::section::Section;
use super::shape::Shape;
use super::value::{Reading, Value, boolean, integer, nonempty, parsed, seconds};
use crate::types::HostName;

/// In a row.
const MAX_THRESHOLD: u32 = 1_000;
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_HEALTHY: u32 = 2;
const DEFAULT_UNHEALTHY: u32 = 3;
const DEFAULT_FAILURES: u32 = 5;
const DEFAULT_SUCCESS: u32 = 75;
const DEFAULT_SAMPLES: u32 = 20;
const DEFAULT_EJECTION: Duration = Duration::from_secs(10);
/// However often it failed, a target gets another chance after so long.
pub const LONGEST_EJECTION: Duration = Duration::from_mins(5);
/// All but errors.
const DEFAULT_STATUS: RangeInclusive<u16> = 200..=399;

/// How targets are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// Whether they are probed. Exchanges are watched in any case.
    pub enabled: bool,
    /// Between two probes of one target.
    pub interval: Duration,
    /// The longest time that a probe may take.
    pub timeout: Duration,
    /// What is asked for; `None`: a connection is all that is made.
    pub path: Option<PathAndQuery>,
    /// The Host, and in TLS the server name, that is asked for; `None`: each target's own.
    pub host: Option<HostName>,
    /// The statuses that are a success.
    pub expected_status: RangeInclusive<u16>,
    /// What a body must contain, within its first 64 KiB.
    pub expected_body: Option<String>,
    /// When a verdict changes.
    pub thresholds: Thresholds,
}

/// When a verdict changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Probes in a row that must succeed before a backend is used again.
    pub healthy: u32,
    /// Probes in a row that must fail before it is not used any more.
    pub unhealthy: u32,
    /// Exchanges in a row that must fail before it is ejected; 0: never.
    pub failures: u32,
    /// The success ratio of its answers below which it is ejected, in percent, if others do better;
    /// 0: never.
    pub success: u32,
    /// Answers of the last ten seconds that there must be to judge by a ratio.
    pub samples: u32,
    /// How long it is ejected for the first time; the second time twice as long, the third time three times.
    pub ejection: Duration,
    /// How long its share grows once it is back; zero: it has all of it at once.
    pub slow_start: Duration,
}

impl HealthCheck {
    /// A section that is there asks for probes, unless it says otherwise.
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let is_there = section.is_there();
        let threshold = integer(1..=MAX_THRESHOLD);
        Self {
            enabled: section.key_or("enabled", boolean, is_there),
            interval: section.key_or("interval", seconds, DEFAULT_INTERVAL),
            timeout: section.key_or("timeout", seconds, DEFAULT_TIMEOUT),
            path: section.key("path", path),
            host: section.key("host", host),
            expected_status: section.key_or("expected_status", statuses, DEFAULT_STATUS),
            expected_body: section.key("expected_body", nonempty),
            thresholds: Thresholds {
                healthy: section.key_or("healthy_threshold", &threshold, DEFAULT_HEALTHY),
                unhealthy: section.key_or("unhealthy_threshold", &threshold, DEFAULT_UNHEALTHY),
                failures: section.key_or(
                    "max_failures",
                    integer(0..=MAX_THRESHOLD),
                    DEFAULT_FAILURES,
                ),
                success: section.key_or("min_success", integer(0..=100), DEFAULT_SUCCESS),
                samples: section.key_or("min_requests", &threshold, DEFAULT_SAMPLES),
                ejection: section.key_or("ejection_time", ejection_time, DEFAULT_EJECTION),
                slow_start: section.key_or("slow_start", slow_start, Duration::ZERO),
            },
        }
    }
}

/// From none to an hour.
fn slow_start(value: &Value<'_>) -> Reading<Duration> {
    integer(0..=3_600)(value).map(Duration::from_secs)
}

/// No longer than the longest of a row of them.
fn ejection_time(value: &Value<'_>) -> Reading<Duration> {
    integer(1..=LONGEST_EJECTION.as_secs())(value).map(Duration::from_secs)
}

fn host(value: &Value<'_>) -> Reading<HostName> {
    parsed(HostName::parse, "write a host name without scheme and port")(value)
}

fn path(value: &Value<'_>) -> Reading<PathAndQuery> {
    let parse = |text: &str| {
        let found = text.parse::<PathAndQuery>().map_err(|error| error.to_string())?;
        text.starts_with('/').then_some(found).ok_or_else(|| "it must begin with /".to_owned())
    };
    parsed(parse, "write it as \"/health\"")(value)
}

/// `200`, or `"200-399"`.
fn statuses(value: &Value<'_>) -> Reading<RangeInclusive<u16>> {
    let all = 100..=599;
    if value.get_ref().as_integer().is_some() {
        return integer(all)(value).map(|status| status..=status);
    }
    let Some(text) = value.get_ref().as_str() else {
        let number = Shape::Integer((*all.start()).into(), (*all.end()).into());
        let shape = Shape::Either(Box::new(number), Box::new(Shape::Text));
        return Err(vec![Expected::Text.mismatch(value).wants(shape)]);
    };
    let range = text.split_once('-').and_then(|(first, last)| {
        let range = first.trim().parse().ok()?..=last.trim().parse().ok()?;
        let is_range = range.start() <= range.end();
        (is_range && all.contains(range.start()) && all.contains(range.end())).then_some(range)
    });
    range.ok_or_else(|| {
        let problem = Problem::error("this is no range of statuses").at(value.span(), "");
        vec![problem.help("write one as 200, several as \"200-399\"")]
    })
}
