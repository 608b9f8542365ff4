//! What is known of an exchange, or of a relayed connection, once it is over.
//!
//! Floor 2. [`Exchange`] is what the walk hands over; [`Row`] is the same in the names that the traffic
//! log, `dispa tail` and the admin interface share.

mod filter;
mod id;
mod row;
mod summary;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderName, Method, StatusCode, uri::PathAndQuery};
use uuid::Uuid;

use crate::{
    framing::Fault,
    rules::Pattern,
    types::{Door, HostName, OriginalDestination, Outcome},
};

pub use filter::{Filter, statuses};
pub use id::new_id;
pub use row::Row;
pub use summary::Summary;

/// One exchange that is over.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Its own; that of a refusal is in the answer too.
    pub id: Uuid,
    /// When it began.
    pub began: SystemTime,
    /// From there to its end.
    pub duration: Duration,
    /// From there to the head of the response.
    pub first_byte: Option<Duration>,
    /// How it came in.
    pub door: Door,
    /// The program's end of the connection.
    pub client: SocketAddr,
    /// Where it wanted to go, at the transparent door.
    pub origin: Option<OriginalDestination>,
    /// Who made the connection, where that is known.
    pub process: Option<Arc<Process>>,
    /// What was spoken.
    pub protocol: Protocol,
    /// The host that was asked for: of TLS the server name.
    pub host: Option<HostName>,
    /// The request's.
    pub method: Option<Method>,
    /// The request's path and query; the query is written down only where that is asked for.
    pub path: Option<PathAndQuery>,
    /// Those fields of the request that are to be written down, secrets among them already replaced.
    pub headers: Vec<(HeaderName, Box<[u8]>)>,
    /// What matched the host.
    pub rule: Option<Pattern>,
    /// The backend that answered, or the last that was to.
    pub target: Option<Arc<str>>,
    /// How many backends were tried.
    pub attempts: u32,
    /// What was answered.
    pub status: Option<StatusCode>,
    /// Bytes of the request's body, or from the client.
    pub request_bytes: u64,
    /// Bytes of the response's body, or to the client.
    pub response_bytes: u64,
    /// What was wrong with the request.
    pub fault: Option<Fault>,
    /// How it ended.
    pub outcome: Outcome,
}

/// What was spoken on the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.0 or 1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// TLS, handed on unopened.
    Tls,
    /// DNS over TCP.
    Dns,
    /// Something else.
    Tcp,
}

impl Protocol {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Http1, Self::Http2, Self::Tls, Self::Dns, Self::Tcp];

    /// Whether it is read request by request.
    #[must_use]
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Http1 | Self::Http2)
    }

    /// The label that logs and metrics use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Tls => "tls",
            Self::Dns => "dns",
            Self::Tcp => "tcp",
        }
    }
}

/// The program that made a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Process id, in the initial pid namespace.
    pub pid: u32,
    /// User id, in the initial user namespace.
    pub uid: Option<u32>,
    /// As `ps` calls it (`/proc/PID/comm`).
    pub name: Option<Arc<str>>,
    /// The file that it runs.
    pub executable: Option<Arc<str>>,
    /// Its cgroup, from the hierarchy's root.
    pub cgroup: Option<Arc<str>>,
    /// The systemd unit that the cgroup is of.
    pub unit: Option<Arc<str>>,
    /// The container that the cgroup is of.
    pub container: Option<Arc<str>>,
}

impl Process {
    /// Of which only numbers are known.
    #[must_use]
    pub const fn numbered(pid: u32, uid: u32) -> Self {
        let (name, executable, cgroup, unit, container) = (None, None, None, None, None);
        Self { pid, uid: Some(uid), name, executable, cgroup, unit, container }
    }
}

impl Exchange {
    /// Whether something went wrong: it was answered with 5xx, or its outcome is an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.status.is_some_and(|status| status.is_server_error()) || self.outcome.is_error()
    }

    /// Lets go of the buffer that its head was read into: from now on it holds its own bytes alone.
    pub fn detach(&mut self) {
        let copy = |path: PathAndQuery| {
            let own = Bytes::copy_from_slice(path.as_str().as_bytes());
            PathAndQuery::from_maybe_shared(own).unwrap_or(path)
        };
        self.path = self.path.take().map(copy);
    }

    /// Bytes of memory that it takes, about.
    #[must_use]
    pub fn size(&self) -> usize {
        let path = self.path.as_ref().map_or(0, |path| path.as_str().len());
        let host = self.host.as_ref().map_or(0, |host| host.as_str().len());
        let field = |(name, value): &(HeaderName, Box<[u8]>)| {
            size_of::<(HeaderName, Box<[u8]>)>() + name.as_str().len() + value.len()
        };
        size_of::<Self>() + path + host + self.headers.iter().map(field).sum::<usize>()
    }

    /// Writes it to the application log.
    pub fn log(&self) {
        let process = self.process.as_deref();
        tracing::info!(
            target: "dispa::exchange",
            door = self.door.name(),
            client = %self.client,
            origin = self.origin.map(tracing::field::display),
            process = process.map(|it| it.pid),
            program = process.and_then(|it| it.name.as_deref()),
            user = process.and_then(|it| it.uid),
            unit = process.and_then(|it| it.unit.as_deref()),
            container = process.and_then(|it| it.container.as_deref()),
            host = self.host.as_ref().map(tracing::field::display),
            method = self.method.as_ref().map(tracing::field::display),
            path = self.path.as_ref().map(PathAndQuery::path),
            rule = self.rule.as_ref().map(tracing::field::display),
            target = self.target.as_deref(),
            status = self.status.map(|status| status.as_u16()),
            bytes_sent = self.request_bytes,
            bytes_received = self.response_bytes,
            id = %self.id,
            fault = self.fault.map(tracing::field::display),
            outcome = self.outcome.name(),
            duration_ms = row::milliseconds(self.duration),
            "exchange"
        );
    }
}
