//! A thread that drives connections, for code that blocks.

use std::{
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    time::timeout,
};

/// Silence of this length where something should come is a hang.
const PATIENCE: Duration = Duration::from_secs(15);

/// A runtime of one thread, in the network namespace of the thread that started it. What it still
/// runs when it is dropped ends there.
#[derive(Debug)]
pub(super) struct Driver {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Driver {
    /// Starts the thread.
    pub(super) fn start() -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            // It ends by a message or by the end of whoever could send one.
            let _ = runtime.block_on(stopped);
        });
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Where to spawn what runs beside the test.
    #[must_use]
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits for the outcome of `future` on this thread, for as long as a patient client would.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> Result<T> {
        wait_on(&self.handle, future)
    }
}

/// [`Driver::wait`], where only the handle is known.
pub(super) fn wait_on<T>(handle: &Handle, future: impl Future<Output = T>) -> Result<T> {
    let outcome = handle.block_on(async { timeout(PATIENCE, future).await });
    outcome.with_context(|| format!("nothing came within {PATIENCE:?}"))
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of a task stays in its task.
            let _ = thread.join();
        }
    }
}
