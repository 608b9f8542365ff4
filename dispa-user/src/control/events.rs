//! The kernel's debug events, as log lines.

use crate::kernel::Events;

/// Logs each outcome of the connect hooks until the ring fails.
pub async fn log_events(mut events: Events) {
    loop {
        match events.next().await {
            Ok(event) => tracing::debug!(
                process = event.process,
                user = event.user,
                origin = %event.origin,
                slot = event.slot,
                outcome = event.outcome.name(),
                "connect"
            ),
            Err(error) => {
                tracing::warn!(%error, "no more debug events");
                return;
            }
        }
    }
}
