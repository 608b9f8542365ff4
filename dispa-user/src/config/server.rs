//! `[server]`: the explicit door, and the limits that hold for both.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use super::section::Section;
use super::value::{Reading, Value, integer, parsed, seconds};

/// Loopback: nothing outside the host gets in before somebody writes that it should.
const DEFAULT_BIND_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const DEFAULT_KEEP_ALIVE_TIMEOUT: Duration = Duration::from_mins(1);
const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Enough for a host, and with two descriptors each within what most systems allow.
const DEFAULT_MAX_CONNECTIONS: usize = 8192;
const MAX_CONNECTIONS: usize = 1_000_000;
/// Less than the kernel's tables and a few connections take, and more than a machine has: MiB.
const LEAST_MEMORY: u64 = 32;
const MOST_MEMORY: u64 = 1024 * 1024;
/// More threads than machines have processors.
const MAX_WORKERS: u16 = 1024;

/// The explicit door, and the limits that hold for both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where the explicit door listens. Port 0 lets the kernel choose one.
    pub bind_address: SocketAddr,
    /// How many threads accept and forward.
    pub workers: NonZeroUsize,
    /// How many connections of clients may be open at once, at both doors.
    pub max_connections: usize,
    /// How many bytes of memory it may have before it takes no more connections; `None` for half of what
    /// there is.
    pub max_memory: Option<u64>,
    /// How long a client connection is kept open while it waits for its next request.
    pub keep_alive_timeout: Duration,
    /// How long a request may wait for the beginning of its response, all attempts together, from
    /// the last move of its body.
    pub request_timeout: Duration,
}

impl Server {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            bind_address: section.key_or("bind_address", socket_address, DEFAULT_BIND_ADDRESS),
            workers: section.key("workers", workers).unwrap_or_else(processors),
            max_connections: section.key_or(
                "max_connections",
                integer(1..=MAX_CONNECTIONS),
                DEFAULT_MAX_CONNECTIONS,
            ),
            max_memory: section
                .key("max_memory", integer(LEAST_MEMORY..=MOST_MEMORY))
                .map(|mib: u64| mib * 1024 * 1024),
            keep_alive_timeout: section.key_or(
                "keep_alive_timeout",
                seconds,
                DEFAULT_KEEP_ALIVE_TIMEOUT,
            ),
            request_timeout: section.key_or("request_timeout", seconds, DEFAULT_REQUEST_TIMEOUT),
        }
    }
}

fn socket_address(value: &Value<'_>) -> Reading<SocketAddr> {
    let parse = |text: &str| text.parse().map_err(|_| "not an IP address with a port");
    parsed(parse, "write it as \"127.0.0.1:8080\" or \"[::1]:8080\"")(value)
}

fn workers(value: &Value<'_>) -> Reading<NonZeroUsize> {
    let count: u16 = integer(1..=MAX_WORKERS)(value)?;
    Ok(NonZeroUsize::new(usize::from(count)).unwrap_or(NonZeroUsize::MIN))
}

fn processors() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
