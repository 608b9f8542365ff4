//! How everything hears that it is time to stop.

use tokio::sync::watch;

/// What the process is doing. It only ever moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    Running,
    /// Another daemon has taken over: taking no new connection; those that are open may ask once more.
    Retiring,
    /// Taking nothing new, finishing what is there.
    Draining,
    /// Dropping what is left.
    Stopping,
}

/// The side that decides.
#[derive(Clone, Debug)]
pub struct StopHandle(watch::Sender<Phase>);

/// The side that listens; clones hear the same.
#[derive(Clone, Debug)]
pub struct Stopped(watch::Receiver<Phase>);

/// A pair of both, in [`Phase::Running`].
#[must_use]
pub fn stop_signal() -> (StopHandle, Stopped) {
    let (sender, receiver) = watch::channel(Phase::Running);
    (StopHandle(sender), Stopped(receiver))
}

impl StopHandle {
    /// Moves on to `phase`; a phase already passed changes nothing.
    pub fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let later = phase > *current;
            *current = phase.max(*current);
            later
        });
    }
}

impl Stopped {
    /// The present phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Waits until `phase` is reached. A handle that is gone counts as [`Phase::Stopping`].
    pub async fn reached(&mut self, phase: Phase) {
        let _ = self.0.wait_for(|current| *current >= phase).await;
    }
}

#[cfg(test)]
mod tests {
    use super::{Phase, stop_signal};

    #[tokio::test]
    async fn a_phase_is_never_taken_back() {
        let (handle, mut stopped) = stop_signal();
        handle.advance(Phase::Stopping);
        handle.advance(Phase::Draining);
        assert_eq!(stopped.phase(), Phase::Stopping);
        stopped.reached(Phase::Draining).await;
    }

    #[tokio::test]
    async fn a_lost_handle_stops_everything() {
        let (handle, mut stopped) = stop_signal();
        drop(handle);
        stopped.reached(Phase::Stopping).await;
    }
}
