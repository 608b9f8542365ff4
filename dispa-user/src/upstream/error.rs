//! Why a backend gave no answer.

use std::time::Duration;

use crate::net::DialError;

/// An exchange with a backend that failed before its response began.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Its name has no address.
    #[error("cannot resolve {host}: {source}")]
    Unresolved {
        /// The name.
        host: String,
        /// Why.
        source: std::io::Error,
    },
    /// No connection.
    #[error(transparent)]
    Unreachable(#[from] DialError),
    /// The connection broke, or what came was no HTTP.
    #[error("no valid response: {0}")]
    Failed(#[from] hyper::Error),
    /// Nothing came in time.
    #[error("no response within {0:?}")]
    TimedOut(Duration),
}
