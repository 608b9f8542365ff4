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
    /// The client broke off the body of its request, or sent what is no body.
    #[error("the request broke off")]
    RequestBroken,
    /// The client sent no more of the body of its request.
    #[error("the request did not go on")]
    RequestStalled,
    /// There are as many connections as there may be, and as many who wait for one.
    #[error("too many wait for a connection")]
    Busy,
    /// The backend takes no WebSocket on a stream (RFC 8441 section 3).
    #[error("the backend takes no other protocol on a stream of HTTP/2")]
    NoUpgrade,
    /// Nothing came in time.
    #[error("no response within {0:?}")]
    TimedOut(Duration),
}

impl UpstreamError {
    /// Whether another backend may do better: this one is not there, or went away.
    pub(super) fn is_no_reason_to_end(&self) -> bool {
        match self {
            Self::Unresolved { .. } | Self::Busy | Self::Failed(_) | Self::TimedOut(_) => true,
            Self::Unreachable(error) => !error.is_ours() || error.lacks_port(),
            Self::RequestBroken | Self::RequestStalled | Self::NoUpgrade => false,
        }
    }

    /// Whether there was no connection to be had.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unresolved { .. } | Self::Unreachable(_))
    }

    /// Whether it tells against the backend.
    #[must_use]
    pub fn is_the_backends(&self) -> bool {
        match self {
            Self::Unresolved { .. } | Self::Failed(_) | Self::TimedOut(_) => true,
            Self::Unreachable(error) => !error.is_ours(),
            Self::RequestBroken | Self::RequestStalled | Self::Busy | Self::NoUpgrade => false,
        }
    }
}
