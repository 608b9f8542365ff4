//! What may be looked at, whichever way somebody comes: how the daemon is, what goes on, what went on.
//! Nothing is changed by it.

use std::sync::Arc;

use http::StatusCode;
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;

use super::{
    Status,
    conversation::{self, Answer, GoesOn, json},
    follow,
    logs::{self, LOG_STATS, LOGS},
    query,
    serve::refusal,
};
use crate::state::{Follower, Live, Reloader};

/// The path that tells how the pools are.
pub(super) const STATUS: &str = "/v1/status";

/// The path that tells of exchanges as they end; the query says of which.
pub(super) const EXCHANGES: &str = "/v1/exchanges";

/// The path that tells once a second what the exchanges came to.
pub(super) const ACTIVITY: &str = "/v1/activity";

/// All there is to see.
pub(super) const PATHS: [&str; 5] = [STATUS, EXCHANGES, ACTIVITY, LOGS, LOG_STATS];

/// Readers of what goes on that are served at once; more are refused.
const MOST_FOLLOWERS: usize = 16;

/// What answers are made of.
#[derive(Debug)]
pub(super) struct View {
    pub(super) live: Arc<Live>,
    pub(super) reloader: Arc<Reloader>,
    followers: Arc<Semaphore>,
}

impl View {
    /// Of a daemon that runs.
    pub(super) fn new(live: &Arc<Live>, reloader: &Arc<Reloader>) -> Self {
        let (live, reloader) = (Arc::clone(live), Arc::clone(reloader));
        Self { live, reloader, followers: Arc::new(Semaphore::new(MOST_FOLLOWERS)) }
    }

    /// What is at one of [`PATHS`].
    pub(super) async fn answer(&self, path: &str, query: &str) -> Answer {
        match path {
            STATUS => json(StatusCode::OK, &Status::of(&self.live.state(), &self.reloader.last())),
            EXCHANGES => self.exchanges(query),
            ACTIVITY => self.follow(follow::activity),
            LOGS | LOG_STATS => logs::answer(&self.live.state().ledger, path, query).await,
            _ => {
                let there_is = format!("there is only {}", PATHS.join(", "));
                refusal(StatusCode::NOT_FOUND, &there_is)
            }
        }
    }

    fn exchanges(&self, query: &str) -> Answer {
        match query::filter(query) {
            Ok(filter) => self.follow(|follower| follow::exchanges(follower, filter)),
            Err(error) => refusal(StatusCode::BAD_REQUEST, &error),
        }
    }

    /// An answer that goes on until whoever asked goes away.
    fn follow(&self, lines: impl FnOnce(Follower) -> GoesOn) -> Answer {
        let Ok(place) = Arc::clone(&self.followers).try_acquire_owned() else {
            return refusal(StatusCode::SERVICE_UNAVAILABLE, "too many follow already");
        };
        let lines = lines(self.live.state().ledger.follow());
        let held = lines.map_frame(move |frame| {
            let _held = &place;
            frame
        });
        conversation::goes_on("application/x-ndjson", held.boxed_unsync())
    }
}
