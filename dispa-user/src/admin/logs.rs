//! Questions about the traffic log: how they are written in a query, and how they are answered.

use std::time::{Duration, Instant};

use http::StatusCode;
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    conversation::{Answer, LIMIT, json},
    serve::refusal,
};
use crate::{
    exchange::statuses,
    rules::Pattern,
    sink::{GroupBy, Query, Unanswered},
    state::Ledger,
    types::{percent_decoded, percent_encoded},
};

/// The path that hands out records, page by page.
pub(super) const LOGS: &str = "/v1/logs";

/// The path that counts them.
pub(super) const LOG_STATS: &str = "/v1/logs/stats";

/// Records of one page, unless another number is asked for.
const DEFAULT_PAGE: usize = 100;

/// Records of the longest page.
pub const LONGEST_PAGE: usize = 1_000;

/// What the end of an answer may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A question about the traffic log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogQuestion {
    /// Which records.
    pub query: Query,
    /// Only those before this one.
    pub before: Option<Uuid>,
    /// How many of them, [`LONGEST_PAGE`] at most.
    pub limit: Option<usize>,
    /// By what they are counted.
    pub by: GroupBy,
}

impl LogQuestion {
    /// Reads `since=...&host=...`: times as RFC 3339 has them, the rest as `dispa logs` does.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        let mut question = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = String::from_utf8(percent_decoded(value));
            let value = value.map_err(|_| format!("{key} is not UTF-8"))?;
            question.read(key, value).map_err(|why| format!("{key}: {why}"))?;
        }
        Ok(question)
    }

    fn read(&mut self, key: &str, value: String) -> Result<(), String> {
        let query = &mut self.query;
        match key {
            "since" => query.since = Some(time(&value)?),
            "until" => query.until = Some(time(&value)?),
            "host" => query.host = Some(Pattern::parse(&value).map_err(|it| it.to_string())?),
            "status" => query.status = Some(statuses(&value)?),
            "process" => query.process = Some(value),
            "slower_than_ms" => {
                let limit: u64 = value.parse().map_err(|_| "not a number of milliseconds")?;
                query.slower_than = Some(Duration::from_millis(limit));
            }
            "before" => self.before = Some(value.parse().map_err(|_| "not an id")?),
            "by" => self.by = group_by(&value)?,
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=LONGEST_PAGE).contains(limit));
                let limit =
                    limit.ok_or_else(|| format!("not a number from 1 to {LONGEST_PAGE}"))?;
                self.limit = Some(limit);
            }
            _ => return Err("unknown".to_owned()),
        }
        Ok(())
    }

    /// The query that [`LogQuestion::parse`] reads.
    pub(super) fn to_query(&self) -> String {
        let Query { since, until, host, status, process, slower_than, deadline: _ } = &self.query;
        let by = match self.by {
            GroupBy::Host => "host",
            GroupBy::Target => "target",
        };
        let pairs = [
            ("since", since.map(|it| it.to_string())),
            ("until", until.map(|it| it.to_string())),
            ("host", host.as_ref().map(ToString::to_string)),
            ("status", status.map(|(low, high)| format!("{low}-{high}"))),
            ("process", process.clone()),
            ("slower_than_ms", slower_than.map(|it| it.as_millis().to_string())),
            ("before", self.before.map(|it| it.to_string())),
            ("limit", self.limit.map(|it| it.to_string())),
            ("by", Some(by.to_owned())),
        ];
        let written = pairs
            .into_iter()
            .filter_map(|(key, value)| Some(format!("{key}={}", percent_encoded(&value?))));
        written.collect::<Vec<_>>().join("&")
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|error: jiff::Error| error.to_string())
}

/// Reads `host` or `target`.
pub fn group_by(text: &str) -> Result<GroupBy, String> {
    match text {
        "host" => Ok(GroupBy::Host),
        "target" => Ok(GroupBy::Target),
        _ => Err("neither host nor target".to_owned()),
    }
}

/// Answers from files or database, apart from everything else: it may take a while.
pub(super) async fn answer(ledger: &Ledger, path: &str, query: &str) -> Answer {
    let mut question = match LogQuestion::parse(query) {
        Ok(question) => question,
        Err(why) => return refusal(StatusCode::BAD_REQUEST, &why),
    };
    let Some(log) = ledger.traffic_log() else {
        return refusal(StatusCode::NOT_FOUND, &Unanswered::NoLog.to_string());
    };
    question.query.deadline = Some(Instant::now() + LIMIT.saturating_sub(LAST_WORDS));
    let reader = std::sync::Arc::clone(log.reader());
    let counts = path == LOG_STATS;
    let answer = tokio::task::spawn_blocking(move || {
        let LogQuestion { query, before, limit, by } = &question;
        if counts {
            return reader.stats(query, *by).map(|stats| json(StatusCode::OK, &stats));
        }
        let page = reader.page(query, *before, limit.unwrap_or(DEFAULT_PAGE));
        page.map(|page| json(StatusCode::OK, &page))
    });
    match answer.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => refusal(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::LogQuestion;
    use crate::{
        rules::Pattern,
        sink::{GroupBy, Query},
    };

    #[test]
    fn a_question_survives_its_way() {
        let question = LogQuestion {
            query: Query {
                since: "2024-01-01T00:00:00Z".parse().ok(),
                until: "2024-01-02T00:00:00.5Z".parse().ok(),
                host: Pattern::parse("*.example.com").ok(),
                status: Some((500, 599)),
                process: Some("a b&c=\u{e9}%".to_owned()),
                slower_than: Some(Duration::from_millis(200)),
                deadline: None,
            },
            before: "018cc251-f400-7000-8000-000000000000".parse().ok(),
            limit: Some(7),
            by: GroupBy::Target,
        };
        assert_eq!(LogQuestion::parse(&question.to_query()), Ok(question));
        let nothing = LogQuestion::default();
        assert_eq!(LogQuestion::parse(&nothing.to_query()), Ok(nothing));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (query, why) in [
            ("status=abc", "status: not a status, as 404, a class, as 5xx, or several, as 400-499"),
            ("limit=0", "limit: not a number from 1 to 1000"),
            ("host=*", "host: `*` alone would stand for every domain"),
            ("colour=red", "colour: unknown"),
            ("process=%ff", "process is not UTF-8"),
        ] {
            assert_eq!(LogQuestion::parse(query), Err(why.to_owned()));
        }
    }
}
