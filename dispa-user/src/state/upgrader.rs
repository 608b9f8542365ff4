//! Asks for the daemon's successor: the program at its own path, started beside it, which takes over.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

/// Who may wait for one.
const MOST_WAITING: usize = 8;

/// Where one is asked for.
#[derive(Debug)]
pub struct Upgrader {
    program: PathBuf,
    /// Device and inode of the program that runs.
    running: Option<(u64, u64)>,
    requests: mpsc::Sender<UpgradeRequest>,
}

/// Answered with the successor's process id, or with why there is none.
pub type UpgradeRequest = oneshot::Sender<Result<u32, String>>;

impl Upgrader {
    /// For the program at this path, of which that file runs, and where requests arrive.
    #[must_use]
    pub fn new(
        program: PathBuf,
        running: Option<(u64, u64)>,
    ) -> (Self, mpsc::Receiver<UpgradeRequest>) {
        let (requests, arriving) = mpsc::channel(MOST_WAITING);
        (Self { program, running, requests }, arriving)
    }

    /// Whether another program is at the path by now.
    #[must_use]
    pub fn is_due(&self) -> bool {
        identity(&self.program).is_some_and(|now| Some(now) != self.running)
    }

    /// Has a successor take over; its process id.
    pub async fn upgrade(&self) -> Result<u32, String> {
        let (request, answer) = oneshot::channel();
        let stopping = || "the daemon is stopping".to_owned();
        match self.requests.try_send(request) {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(stopping())),
            Err(TrySendError::Closed(_)) => Err(stopping()),
            Err(TrySendError::Full(_)) => Err("too many wait for an upgrade already".to_owned()),
        }
    }
}

/// Device and inode of the file at `path`: a program that is replaced is another file, for one that runs
/// cannot be written to.
#[must_use]
pub fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).map(|it| (it.dev(), it.ino())).ok()
}
