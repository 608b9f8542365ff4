//! What a backend is to do for which token, and what it has come to see.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Result, ensure};
use dispa_e2e::Clock;
use dispa_lab::until;

use crate::cell::{Cell, bytes_of};

/// How long a request may take to get to where it is wanted.
const SOON: Duration = Duration::from_secs(10);

/// How long the backend's side of an exchange may last once its client is gone.
const PROMPTLY: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    scripts: HashMap<String, Cell>,
    reached: HashSet<String>,
    gone: HashSet<String>,
    breaches: Vec<String>,
}

impl Ledger {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on requests for `/token` are treated like this.
    pub(crate) fn plan(&self, token: &str, cell: Cell) {
        self.inner().scripts.insert(token.to_owned(), cell);
    }

    pub(crate) fn script(&self, token: &str) -> Option<Cell> {
        self.inner().scripts.get(token).copied()
    }

    /// The backend has read what it was to read.
    pub(crate) fn reach(&self, token: &str) {
        self.inner().reached.insert(token.to_owned());
    }

    /// The backend's side of the exchange has ended.
    pub(crate) fn end(&self, token: &str) {
        self.inner().gone.insert(token.to_owned());
    }

    /// Something came that should never come.
    pub(crate) fn breach(&self, what: String) {
        self.inner().breaches.push(what);
    }

    /// Notes a body that is not this token's own.
    pub(crate) fn check_body(&self, token: &str, body: &[u8]) {
        if body != bytes_of(token, body.len()) {
            let body = String::from_utf8_lossy(body);
            let begin: String = body.chars().take(80).collect();
            self.breach(format!("{token} has another's body: {begin:?}..."));
        }
    }

    /// Everything that came and never should, since the last look.
    pub(crate) fn breaches(&self) -> Vec<String> {
        std::mem::take(&mut self.inner().breaches)
    }

    pub(crate) fn wait_reached(&self, token: &str) -> Result<()> {
        until(SOON, "the request at the backend", || {
            self.inner().reached.contains(token).then_some(())
        })
    }

    pub(crate) fn wait_ended(&self, token: &str) -> Result<()> {
        let clock = Clock::start();
        until(SOON, "the end of the exchange at the backend", || {
            self.inner().gone.contains(token).then_some(())
        })?;
        let time = clock.elapsed();
        ensure!(time < PROMPTLY, "the exchange ended at the backend, but only after {time:?}");
        Ok(())
    }
}
