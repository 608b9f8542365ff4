//! A gate at which a backend's handlers wait until the test lets them go on.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Longer than any test keeps a gate shut.
const PATIENCE: Duration = Duration::from_secs(30);

/// Shut until it is opened; then it stays open.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    waiting: usize,
}

impl Gate {
    /// Shut.
    #[must_use]
    pub const fn new() -> Self {
        let state = State { open: false, waiting: 0 };
        Self { state: Mutex::new(state), opened: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is open.
    pub fn wait(&self) {
        let mut state = self.state();
        state.waiting += 1;
        let shut = self.opened.wait_timeout_while(state, PATIENCE, |state| !state.open);
        shut.unwrap_or_else(PoisonError::into_inner).0.waiting -= 1;
    }

    /// Lets all go on that wait, and those that come later.
    pub fn open(&self) {
        self.state().open = true;
        self.opened.notify_all();
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state().waiting
    }
}
