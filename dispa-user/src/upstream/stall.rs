//! The limit to how long a body may stand still.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

/// Runs while nothing comes. A body of which every part is there at once costs no timer.
#[derive(Debug)]
pub(super) struct Stall {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    running: bool,
}

impl Stall {
    pub(super) const fn new(limit: Duration) -> Self {
        Self { limit, sleep: None, running: false }
    }

    pub(super) const fn limit(&self) -> Duration {
        self.limit
    }

    /// Something came.
    pub(super) fn moved(&mut self) {
        self.running = false;
    }

    /// Nothing came; ready when that has been so for too long.
    pub(super) fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !self.running {
            sleep.as_mut().reset(Instant::now() + limit);
            self.running = true;
        }
        sleep.as_mut().poll(context)
    }
}
