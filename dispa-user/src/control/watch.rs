//! Probing the backends, each by itself.

use std::{os::fd::BorrowedFd, sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use crate::{
    config::HealthCheck,
    state::Live,
    upstream::{Backend, probe},
};

/// Has every backend probed for as long as this runtime runs, if the configuration says so. The first
/// verdicts come at once, and so do those after another configuration.
pub fn watch_backends(live: &Arc<Live>) {
    tokio::spawn(watch_all(Arc::clone(live)));
}

async fn watch_all(live: Arc<Live>) {
    let mut changes = live.watch();
    loop {
        let state = Arc::clone(&changes.borrow_and_update());
        // Dropped with the loop's turn, and with them every probe under way.
        let mut probes = JoinSet::new();
        for backend in state.backends.all().iter().filter(|_| state.config.health.enabled) {
            let check = state.config.health.clone();
            probes.spawn(watch(Arc::clone(&live), Arc::clone(backend), check));
        }
        drop(state);
        if changes.changed().await.is_err() {
            return;
        }
    }
}

async fn watch(live: Arc<Live>, backend: Arc<Backend>, check: HealthCheck) {
    loop {
        let state = live.state();
        let mark = |socket: BorrowedFd<'_>| state.mark(socket, backend.number);
        let result = probe(&backend, &check, mark).await;
        match &result {
            Err(error) if error.is_ours() => tracing::warn!(%error, "cannot probe"),
            Err(error) => state.backends.probed(&backend, Err(error)),
            Ok(()) => state.backends.probed(&backend, Ok(())),
        }
        drop(state);
        sleep(jittered(check.interval)).await;
    }
}

/// Between nine and eleven tenths, so that the probes of many hosts spread out.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.2 * fastrand::f64())
}
