//! Looks whether there is memory and, once they have run short, whether there are descriptors again.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::state::Live;

/// How often: nobody is intercepted meanwhile.
const LOOK: Duration = Duration::from_millis(250);

/// Looks for as long as this runtime runs.
pub fn watch_room(live: &Arc<Live>) {
    let capacity = Arc::clone(&live.state().capacity);
    tokio::spawn(async move {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            capacity.look();
        }
    });
}
