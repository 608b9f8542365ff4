//! Which exchanges are wanted.

use std::time::Duration;

use super::Exchange;
use crate::rules::Pattern;

/// Which exchanges are wanted: those of which all that is asked is true.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// The host that was asked for.
    pub host: Option<Pattern>,
    /// The status of the answer, in these bounds.
    pub status: Option<(u16, u16)>,
    /// The backend.
    pub target: Option<String>,
    /// The name or number of the process.
    pub process: Option<String>,
    /// How it ended.
    pub outcome: Option<String>,
    /// It took longer.
    pub slower_than: Option<Duration>,
}

impl Filter {
    /// Whether the exchange is one of them.
    #[must_use]
    pub fn wants(&self, exchange: &Exchange) -> bool {
        let process = exchange.process.as_deref();
        is(self.host.as_ref(), |pattern| {
            exchange.host.as_ref().is_some_and(|host| pattern.matches(host))
        }) && is(self.status, |(low, high)| {
            exchange.status.is_some_and(|status| (low..=high).contains(&status.as_u16()))
        }) && is(self.target.as_ref(), |name| exchange.target.as_deref() == Some(name))
            && is(self.process.as_ref(), |wanted| {
                process.is_some_and(|it| {
                    it.name.as_deref() == Some(wanted) || it.pid.to_string() == *wanted
                })
            })
            && is(self.outcome.as_ref(), |name| exchange.outcome.name() == name)
            && is(self.slower_than.as_ref(), |limit| exchange.duration > *limit)
    }
}

/// What is not asked about is as wanted.
fn is<T>(wanted: Option<T>, test: impl FnOnce(T) -> bool) -> bool {
    wanted.is_none_or(test)
}

/// Reads `404`, `5xx` or `400-499`.
pub fn statuses(text: &str) -> Result<(u16, u16), String> {
    let bounds = match text.split_once('-') {
        Some((low, high)) => low.parse().ok().zip(high.parse().ok()),
        None => match text.strip_suffix("xx") {
            Some(class) => {
                class.parse().ok().filter(|it| *it < 10).map(|it: u16| (it * 100, it * 100 + 99))
            }
            None => text.parse().ok().map(|status| (status, status)),
        },
    };
    bounds
        .filter(|(low, high)| low <= high)
        .ok_or_else(|| "not a status, as 404, a class, as 5xx, or several, as 400-499".to_owned())
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        time::{Duration, SystemTime},
    };

    use http::StatusCode;

    use super::{Filter, statuses};
    use crate::{
        exchange::{Exchange, Process, Protocol, new_id},
        rules::Pattern,
        types::{Door, HostName, Outcome},
    };

    fn exchange() -> Exchange {
        let process = Process { name: Some("curl".into()), ..Process::numbered(42, 0) };
        Exchange {
            id: new_id(SystemTime::UNIX_EPOCH),
            began: SystemTime::UNIX_EPOCH,
            duration: Duration::from_millis(20),
            first_byte: None,
            door: Door::Explicit,
            client: "127.0.0.1:4000".parse().expect("an address"),
            origin: None,
            process: Some(Arc::new(process)),
            protocol: Protocol::Http1,
            host: Some(HostName::parse("www.example.com").expect("a name")),
            method: None,
            path: None,
            rule: None,
            target: Some("one".into()),
            attempts: 1,
            status: Some(StatusCode::BAD_GATEWAY),
            request_bytes: 0,
            response_bytes: 0,
            fault: None,
            outcome: Outcome::BackendFailed,
            headers: Vec::new(),
        }
    }

    #[test]
    fn all_that_is_asked_must_be_true() {
        let pattern = |text| Some(Pattern::parse(text).expect("a pattern"));
        let text = |text: &str| Some(text.to_owned());
        let ms = |ms| Some(Duration::from_millis(ms));
        let all = Filter {
            host: pattern("*.example.com"),
            status: statuses("5xx").ok(),
            target: text("one"),
            process: text("curl"),
            outcome: text("backend_failed"),
            slower_than: ms(19),
        };
        assert!(Filter::default().wants(&exchange()));
        assert!(all.wants(&exchange()));
        assert!(Filter { process: text("42"), ..all.clone() }.wants(&exchange()));
        for other in [
            Filter { host: pattern("example.com"), ..all.clone() },
            Filter { status: statuses("503").ok(), ..all.clone() },
            Filter { target: text("two"), ..all.clone() },
            Filter { process: text("wget"), ..all.clone() },
            Filter { outcome: text("ok"), ..all.clone() },
            Filter { slower_than: ms(20), ..all.clone() },
        ] {
            assert!(!other.wants(&exchange()), "{other:?}");
        }
        let unknown = Exchange { process: None, host: None, status: None, ..exchange() };
        assert!(!all.wants(&unknown));
    }

    #[test]
    fn statuses_are_one_or_many() {
        assert_eq!(statuses("404"), Ok((404, 404)));
        assert_eq!(statuses("5xx"), Ok((500, 599)));
        assert_eq!(statuses("400-404"), Ok((400, 404)));
        for wrong in ["", "x", "99xx", "5-4", "-1"] {
            assert!(statuses(wrong).is_err(), "{wrong}");
        }
    }
}
