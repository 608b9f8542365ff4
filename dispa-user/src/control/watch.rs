//! Probing the backends, each by itself.

use std::{os::fd::BorrowedFd, sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{
    config::HealthCheck,
    state::State,
    upstream::{Backend, probe},
};

/// Has every backend probed for as long as this runtime runs, if `check` says so. The first
/// verdicts come at once.
pub fn watch_backends(state: &Arc<State>, check: &HealthCheck) {
    if !check.enabled {
        return;
    }
    for backend in state.backends.all() {
        tokio::spawn(watch(Arc::clone(state), Arc::clone(backend), check.clone()));
    }
}

async fn watch(state: Arc<State>, backend: Arc<Backend>, check: HealthCheck) {
    loop {
        let mark = |socket: BorrowedFd<'_>| state.mark(socket, backend.number);
        let result = probe(&backend, &check, mark).await;
        match &result {
            Err(error) if error.is_ours() => tracing::warn!(%error, "cannot probe"),
            Err(error) => state.backends.probed(&backend, Err(error)),
            Ok(()) => state.backends.probed(&backend, Ok(())),
        }
        sleep(jittered(check.interval)).await;
    }
}

/// Between nine and eleven tenths, so that the probes of many hosts spread out.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.2 * fastrand::f64())
}
