//! Exchanges made up for tests, and a directory to write them to.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant, SystemTime},
};

use http::StatusCode;

use super::{Accounts, TrafficLog};
use crate::{
    exchange::{Exchange, Protocol, new_id},
    types::{Door, HostName, Outcome},
};

/// What a thread may take, on a machine busy with other tests.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// Closes a log of one sink; its accounts, which balance.
pub(super) fn closed(log: &TrafficLog) -> Accounts {
    log.close(Instant::now() + SOON);
    let accounts = log.accounts().pop().expect("one sink");
    assert!(accounts.balance(), "{accounts}");
    accounts
}

/// Waits until it is so.
pub(super) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A directory that is gone with its owner.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("dispa-sink-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a directory of its own");
        Self(path)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.0.clone() } else { self.0.join(name) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl AsRef<Path> for Scratch {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

/// One that began so many seconds after the beginning of 2024.
pub(super) fn exchange(second: u32) -> Exchange {
    // 54 years, 13 of them leap years.
    let year = Duration::from_hours(24 * (54 * 365 + 13));
    let began = SystemTime::UNIX_EPOCH + year + Duration::from_secs(second.into());
    Exchange {
        id: new_id(began),
        began,
        duration: Duration::from_millis(u64::from(second)),
        first_byte: Some(Duration::from_micros(1_500)),
        door: Door::Explicit,
        client: "192.0.2.7:4711".parse().expect("an address"),
        origin: None,
        process: None,
        protocol: Protocol::Http1,
        host: HostName::parse("a.example.com").ok(),
        method: Some(http::Method::GET),
        path: Some("/path?token=s3cret&a=1".parse().expect("a path")),
        headers: Vec::new(),
        rule: None,
        target: Some("one".into()),
        attempts: 1,
        status: Some(StatusCode::OK),
        request_bytes: 0,
        response_bytes: 12,
        fault: None,
        outcome: Outcome::Ok,
    }
}
