//! What the daemon tells the service manager that runs it, if one does (`sd_notify(3)`).

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use crate::{kernel::monotonic_ns, life::Pulse};

/// It serves.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// It stops.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Another process is the daemon from now on.
pub(super) fn handed_over(pid: u32) {
    tell(&[NotifyState::MainPid(pid)]);
}

/// Tells, as often as the manager wants to hear it, that every worker turns; as long as one does not,
/// nothing.
pub(super) async fn feed_watchdog(pulse: Pulse) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = interval(limit / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let silence = Duration::from_nanos(monotonic_ns().saturating_sub(pulse.oldest()));
        if silence < limit / 2 {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}
