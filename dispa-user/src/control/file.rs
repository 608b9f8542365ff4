//! Notices that the configuration's file is another one.
//!
//! It is looked at twice a second. A watch on directories would have to follow every link on the way
//! there, and sees nothing through some mounts; this costs one system call.

use std::{sync::Arc, time::Duration};

use tokio::{task::spawn_blocking, time::sleep};

use crate::state::{Print, Reloader};

/// How often it is looked at. What has changed must be the same at the next look.
const LOOK: Duration = Duration::from_millis(500);

/// Reloads whenever the file has changed and then been the same for a moment, for ever.
pub async fn follow_file(reloader: Arc<Reloader>) {
    let mut known = reloader.last_read();
    let mut before = known;
    loop {
        sleep(LOOK).await;
        let path = reloader.path().to_owned();
        // A file system that hangs keeps this thread of many.
        let Ok(now) = spawn_blocking(move || Print::of(&path).ok()).await else { return };
        let settled = now == before;
        before = now;
        if now == known || now == reloader.last_read() || !settled {
            continue;
        }
        known = now;
        if now.is_some() {
            // What is wrong with it is logged.
            let _ = reloader.reload("the file has changed").await;
        } else {
            tracing::warn!(path = %reloader.path().display(), "the file is gone: the configuration stays");
        }
    }
}
