//! The state that counts now.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::watch;

use super::State;

/// The state that counts now, and how far the workers have followed.
#[derive(Debug)]
pub struct Live {
    now: watch::Sender<Arc<State>>,
    /// The generation that each worker goes by.
    applied: Vec<AtomicU64>,
}

impl Live {
    /// The first state, which every worker begins with.
    #[must_use]
    pub fn new(state: Arc<State>) -> Arc<Self> {
        let begins = || AtomicU64::new(state.generation);
        let applied = (0..state.workers).map(|_| begins()).collect();
        Arc::new(Self { applied, now: watch::Sender::new(state) })
    }

    /// What counts now.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.now.borrow())
    }

    /// Tells of every change from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<State>> {
        self.now.subscribe()
    }

    /// From now on `state` counts.
    pub fn replace(&self, state: Arc<State>) {
        self.now.send_replace(state);
    }

    /// A worker goes by this generation now.
    pub fn applied(&self, worker: usize, generation: u64) {
        if let Some(applied) = self.applied.get(worker) {
            applied.store(generation, Ordering::Release);
        }
    }

    /// Whether every worker goes by this generation, or a later one.
    #[must_use]
    pub fn is_applied(&self, generation: u64) -> bool {
        self.applied.iter().all(|applied| applied.load(Ordering::Acquire) >= generation)
    }
}
