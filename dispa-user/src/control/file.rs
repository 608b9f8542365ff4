//! Notices that the configuration's file is another one.
//!
//! It is looked at twice a second. A watch on directories would have to follow every link on the way
//! there, and sees nothing through some mounts; this costs one system call.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path, sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::state::Reloader;

/// How often it is looked at. What has changed must be the same at the next look.
const LOOK: Duration = Duration::from_millis(500);

/// By what a file is told from another one, or from itself with other contents: device, inode, size and
/// times of change in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Print {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Print {
    fn of(path: &Path) -> io::Result<Self> {
        let it = fs::metadata(path)?;
        Ok(Self {
            device: it.dev(),
            inode: it.ino(),
            size: it.size(),
            modified: (it.mtime(), it.mtime_nsec()),
            changed: (it.ctime(), it.ctime_nsec()),
        })
    }
}

/// Reloads whenever the file has changed and then been the same for a moment, for ever.
pub async fn follow_file(reloader: Arc<Reloader>) {
    let path = reloader.source().path.clone();
    let mut known = Print::of(&path).ok();
    let mut before = known;
    loop {
        sleep(LOOK).await;
        let now = Print::of(&path).ok();
        let settled = now == before;
        before = now;
        if now == known || !settled {
            continue;
        }
        known = now;
        if now.is_some() {
            // What is wrong with it is logged.
            let _ = reloader.reload("the file has changed").await;
        } else {
            tracing::warn!(path = %path.display(), "the file is gone: the configuration stays");
        }
    }
}
