//! The signals that stop the daemon, and those that have it read its configuration again.

use std::{future::pending, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, SIGINT, and SIGHUP if it is to stop, caught from the moment this exists.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Option<Signal>,
}

/// SIGUSR1, and SIGHUP if that is not to stop, caught from the moment this exists.
#[derive(Debug)]
pub struct ReloadSignals {
    hang_up: Option<Signal>,
    user: Signal,
}

/// What SIGHUP is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HangUp {
    /// Who sends it wants the configuration read again.
    Reloads,
    /// The terminal is gone, and whoever sat there.
    Stops,
}

impl HangUp {
    fn caught_for(self, duty: Self) -> io::Result<Option<Signal>> {
        (self == duty).then(|| signal(SignalKind::hangup())).transpose()
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => pending().await,
    }
}

impl StopSignals {
    /// Catches them from now on.
    pub fn catch(hang_up: HangUp) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: hang_up.caught_for(HangUp::Stops)?,
        })
    }

    /// Waits for the next one; its name. Cancel safe.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            () = received(&mut self.hang_up) => "SIGHUP",
        }
    }
}

impl ReloadSignals {
    /// Catches them from now on.
    pub fn catch(hang_up: HangUp) -> io::Result<Self> {
        Ok(Self {
            hang_up: hang_up.caught_for(HangUp::Reloads)?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits for the next one; its name. Cancel safe.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            () = received(&mut self.hang_up) => "SIGHUP",
            _ = self.user.recv() => "SIGUSR1",
        }
    }
}
