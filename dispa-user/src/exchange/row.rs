//! An exchange in the names that are written down.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime},
};

use http::{Method, uri::PathAndQuery};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Exchange, Protocol};
use crate::types::Outcome;

/// An exchange in the names and units of the traffic log. A field of which nothing is known is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row<'a> {
    /// Unique; sorts by time.
    pub id: Uuid,
    /// When it began.
    pub timestamp: Timestamp,
    /// The client's address.
    pub client_ip: IpAddr,
    /// The client's port.
    pub client_port: u16,
    /// `transparent` or `explicit`.
    pub door: Cow<'a, str>,
    /// Where the program wanted to go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<SocketAddr>,
    /// `http1`, `http2`, `tls`, `dns` or `tcp`.
    pub protocol: Cow<'a, str>,
    /// The host that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Cow<'a, str>>,
    /// The server name of TLS that was handed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<Cow<'a, str>>,
    /// The request's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Cow<'a, str>>,
    /// The request's path, without its query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Cow<'a, str>>,
    /// The request's query, where it is to be written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<Cow<'a, str>>,
    /// The pattern that matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Cow<'a, str>>,
    /// The target that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Cow<'a, str>>,
    /// How many targets were tried.
    pub attempts: u32,
    /// The status of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
    /// Bytes of the request's body, or from the client.
    pub request_bytes: u64,
    /// Bytes of the response's body, or to the client.
    pub response_bytes: u64,
    /// Milliseconds to the head of the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<f64>,
    /// Milliseconds from beginning to end.
    pub duration_ms: f64,
    /// How it ended.
    pub outcome: Cow<'a, str>,
    /// What was wrong with the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Cow<'a, str>>,
    /// Id of the process that connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Cow<'a, str>>,
    /// The file that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<Cow<'a, str>>,
    /// Its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Its cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<Cow<'a, str>>,
    /// Its systemd unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Cow<'a, str>>,
    /// Its container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Cow<'a, str>>,
    /// Fields of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<Cow<'a, str>, String>>,
}

impl Row<'_> {
    /// As [`Exchange::is_error`].
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.status_code.is_some_and(|status| (500..600).contains(&status))
            || Outcome::ALL.iter().any(|it| it.name() == self.outcome && it.is_error())
    }
}

impl Exchange {
    /// The exchange as it is written down.
    #[must_use]
    pub fn row(&self) -> Row<'_> {
        let process = self.process.as_deref();
        let host = self.host.as_ref().map(|host| Cow::Borrowed(host.as_str()));
        Row {
            id: self.id,
            timestamp: microseconds(self.began).unwrap_or(Timestamp::UNIX_EPOCH),
            client_ip: self.client.ip().to_canonical(),
            client_port: self.client.port(),
            door: self.door.name().into(),
            origin: self.origin.map(|origin| origin.0),
            protocol: self.protocol.name().into(),
            sni: host.clone().filter(|_| self.protocol == Protocol::Tls),
            host,
            method: self.method.as_ref().map(Method::as_str).map(Cow::from),
            path: self.path.as_ref().map(PathAndQuery::path).map(Cow::from),
            query: None,
            rule: self.rule.as_ref().map(|rule| rule.to_string().into()),
            target: self.target.as_deref().map(Cow::from),
            attempts: self.attempts,
            status_code: self.status.map(|status| status.as_u16()),
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            first_byte_ms: self.first_byte.map(milliseconds),
            duration_ms: milliseconds(self.duration),
            outcome: self.outcome.name().into(),
            fault: self.fault.map(|fault| fault.to_string().into()),
            pid: process.map(|it| it.pid),
            process: process.and_then(|it| it.name.as_deref()).map(Cow::from),
            executable: process.and_then(|it| it.executable.as_deref()).map(Cow::from),
            uid: process.and_then(|it| it.uid),
            cgroup: process.and_then(|it| it.cgroup.as_deref()).map(Cow::from),
            unit: process.and_then(|it| it.unit.as_deref()).map(Cow::from),
            container: process.and_then(|it| it.container.as_deref()).map(Cow::from),
            headers: self.written_headers(),
        }
    }

    /// The values of a field that is there several times are joined (RFC 9110 section 5.3).
    fn written_headers(&self) -> Option<BTreeMap<Cow<'_, str>, String>> {
        let mut headers = BTreeMap::<_, String>::new();
        for (name, value) in &self.headers {
            let joined = headers.entry(Cow::from(name.as_str())).or_default();
            if !joined.is_empty() {
                joined.push_str(", ");
            }
            joined.push_str(&String::from_utf8_lossy(value));
        }
        Some(headers).filter(|it| !it.is_empty())
    }
}

/// To the microsecond, which every database has.
fn microseconds(time: SystemTime) -> Option<Timestamp> {
    let time = Timestamp::try_from(time).ok()?;
    Timestamp::from_microsecond(time.as_microsecond()).ok()
}

/// To the microsecond.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
