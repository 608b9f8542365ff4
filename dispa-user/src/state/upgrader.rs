//! Asks for the daemon's successor: the program at its own path, started beside it, which takes over.

use std::path::PathBuf;

use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use super::reload::Print;

/// Who may wait for one.
const MOST_WAITING: usize = 8;

/// Where one is asked for.
#[derive(Debug)]
pub struct Upgrader {
    program: PathBuf,
    /// The program when it was started.
    print: Option<Print>,
    requests: mpsc::Sender<UpgradeRequest>,
}

/// Answered with the successor's process id, or with why there is none.
pub type UpgradeRequest = oneshot::Sender<Result<u32, String>>;

impl Upgrader {
    /// For the program at this path, and where requests arrive.
    #[must_use]
    pub fn new(program: PathBuf) -> (Self, mpsc::Receiver<UpgradeRequest>) {
        let (requests, arriving) = mpsc::channel(MOST_WAITING);
        let print = Print::of(&program).ok();
        (Self { program, print, requests }, arriving)
    }

    /// Whether another program is at the path by now.
    #[must_use]
    pub fn is_due(&self) -> bool {
        Print::of(&self.program).is_ok_and(|now| Some(now) != self.print)
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
