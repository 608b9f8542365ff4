//! A daemon whose explicit door a test's own clients use, and a count of what it holds open.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dispa_lab::{Cgroup, Config, Dispa, Lab, run, until};

use crate::http1::Client;

/// How long a daemon may take to let go of something.
const SOON: Duration = Duration::from_secs(5);

/// Requests after which each worker has answered one, but for a chance of one in thousands: a worker
/// takes some descriptors when it begins to work.
const WAKING: usize = 16;

/// Looks, some milliseconds apart, at which nothing has changed.
const RESTING: usize = 20;

/// A daemon with one backend, reached by the explicit door.
#[derive(Debug)]
pub struct Stage {
    /// The daemon; first, so that it ends before its cgroup.
    pub dispa: Dispa,
    _cgroup: Cgroup,
}

impl Stage {
    /// The explicit door.
    pub const DOOR: SocketAddr = Config::EXPLICIT_DOOR;
    /// Where the backend is.
    pub const BACKEND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3001);
    /// A host that is for the backend.
    pub const HOST: &'static str = "a.stage.test";

    /// A configuration with the backend as the only target.
    #[must_use]
    pub fn config() -> Config {
        // A pattern: no name is to be resolved.
        Config::new(&["*.stage.test"]).target("backend", Self::BACKEND)
    }

    /// A configuration with these keys in the section `[http]`.
    #[must_use]
    pub fn http(keys: &str) -> Config {
        Self::config().sections(&format!("[http]\n{keys}"))
    }

    /// Starts the daemon, and waits until it holds all that it holds without work.
    pub fn start(lab: &Lab, config: &Config) -> Result<Self> {
        let cgroup = Cgroup::new()?;
        let stage = Self { dispa: Dispa::start(lab, &cgroup, config)?, _cgroup: cgroup };
        for _ in 0..WAKING {
            let answer = Client::connect(Self::DOOR)?.get("nobody.test", "/")?;
            ensure!(answer.status == 404, "{answer:?}");
        }
        let (mut last, mut looks) = (0, 0);
        until(SOON, "the daemon to come to rest", || {
            let now = stage.descriptors().ok()?;
            looks = if now == last { looks + 1 } else { 0 };
            last = now;
            (looks == RESTING).then_some(())
        })?;
        Ok(stage)
    }

    /// A GET for `path`, of a client of HTTP/1.1.
    #[must_use]
    pub fn get(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", Self::HOST)
    }

    /// The head of a POST to `path` with a body of this length, of a client of HTTP/1.1.
    #[must_use]
    pub fn post(path: &str, length: usize) -> String {
        let host = Self::HOST;
        format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n")
    }

    /// A request to change to WebSocket on `path`, of a client of HTTP/1.1.
    #[must_use]
    pub fn websocket(path: &str) -> String {
        let host = Self::HOST;
        format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
    }

    /// How many descriptors the daemon holds.
    pub fn descriptors(&self) -> Result<usize> {
        let directory = format!("/proc/{}/fd", self.dispa.id());
        Ok(fs::read_dir(&directory).with_context(|| directory.clone())?.count())
    }

    /// The daemon's TCP connections, as `ss` lists them, for the message of a failure.
    fn connections(&self) -> String {
        let own = format!("pid={},", self.dispa.id());
        let listed = run(Command::new("ss").args(["-Htanp"]), SOON);
        let listed = listed.map(|finished| finished.stdout()).unwrap_or_default();
        let lines = listed.lines().filter(|line| line.contains(&own) && !line.contains("LISTEN"));
        lines
            .map(|line| line.split_whitespace().take(5).collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// Waits until the daemon holds as many descriptors as it should.
    pub fn settles_at(&self, wanted: impl Fn() -> usize) -> Result<()> {
        let settled = until(SOON, "no more descriptors than before", || {
            (self.descriptors().ok()? <= wanted()).then_some(())
        });
        settled.with_context(|| {
            let now = self.descriptors().unwrap_or_default();
            format!("{now} descriptors, not {}: {}", wanted(), self.connections())
        })
    }
}
