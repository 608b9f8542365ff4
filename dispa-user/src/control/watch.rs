//! Probing the backends, each by itself.

use std::{collections::HashMap, os::fd::BorrowedFd, sync::Arc, time::Duration};

use tokio::{
    task::{AbortHandle, JoinSet},
    time::sleep,
};

use crate::{
    config::HealthCheck,
    state::Live,
    upstream::{Backend, probe},
};

/// Has every backend probed for as long as this runtime runs, if the configuration says so. The first
/// verdicts come at once.
pub fn watch_backends(live: &Arc<Live>) {
    tokio::spawn(watch_all(Arc::clone(live)));
}

async fn watch_all(live: Arc<Live>) {
    let mut changes = live.watch();
    let mut probes = JoinSet::new();
    let mut running: HashMap<u32, AbortHandle> = HashMap::new();
    let mut check = None;
    loop {
        let state = Arc::clone(&changes.borrow_and_update());
        if check.as_ref() != Some(&state.config.health) {
            // All of them begin anew.
            probes.abort_all();
            running.clear();
        }
        running.retain(|number, probe| {
            let stays = state.backends.has(*number);
            if !stays {
                probe.abort();
            }
            stays
        });
        let health = &state.config.health;
        for backend in state.backends.all().iter().filter(|_| health.enabled) {
            running.entry(backend.number).or_insert_with(|| {
                probes.spawn(watch(Arc::clone(&live), Arc::clone(backend), health.clone()))
            });
        }
        check = Some(health.clone());
        drop(state);
        if changes.changed().await.is_err() {
            return;
        }
        while probes.try_join_next().is_some() {}
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
