//! How it ended.

/// How one exchange or connection ended: the one label that logs, metrics and dashboards share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A backend answered, and the answer reached the client whole. Its status may be any.
    Ok,
    /// The bytes were relayed to the original destination, unread.
    Relayed,
    /// No rule matches the host asked for at the explicit door (answered with 404).
    NoRule,
    /// A rule matches, but no backend is usable (503).
    NoBackend,
    /// The client sent something that is not a valid request (400).
    BadRequest,
    /// No connection to any backend could be made (503).
    BackendUnreachable,
    /// The backend broke off, or answered what is not HTTP, after the connection was made (502).
    BackendFailed,
    /// The original destination of a connection to be relayed did not answer.
    OriginUnreachable,
    /// The original destination broke a relayed connection off.
    OriginFailed,
    /// A configured time limit passed (504 where a status can still be sent).
    Timeout,
    /// The client did not go on with its request in time (408 where a status can still be sent).
    ClientTimeout,
    /// The client went away before its answer was complete.
    ClientAborted,
    /// The daemon stopped before the exchange was complete.
    Stopped,
    /// A fault of dispa itself (500).
    Internal,
}

impl Outcome {
    /// All of them, in order.
    pub const ALL: [Self; 14] = [
        Self::Ok,
        Self::Relayed,
        Self::NoRule,
        Self::NoBackend,
        Self::BadRequest,
        Self::BackendUnreachable,
        Self::BackendFailed,
        Self::OriginUnreachable,
        Self::OriginFailed,
        Self::Timeout,
        Self::ClientTimeout,
        Self::ClientAborted,
        Self::Stopped,
        Self::Internal,
    ];

    /// Whether something went wrong. That a client or an operator has enough is no error.
    #[must_use]
    pub const fn is_error(self) -> bool {
        match self {
            Self::Ok | Self::Relayed | Self::ClientAborted | Self::Stopped => false,
            Self::NoRule
            | Self::NoBackend
            | Self::BadRequest
            | Self::BackendUnreachable
            | Self::BackendFailed
            | Self::OriginUnreachable
            | Self::OriginFailed
            | Self::Timeout
            | Self::ClientTimeout
            | Self::Internal => true,
        }
    }

    /// The label that logs and metrics use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Relayed => "relayed",
            Self::NoRule => "no_rule",
            Self::NoBackend => "no_backend",
            Self::BadRequest => "bad_request",
            Self::BackendUnreachable => "backend_unreachable",
            Self::BackendFailed => "backend_failed",
            Self::OriginUnreachable => "origin_unreachable",
            Self::OriginFailed => "origin_failed",
            Self::Timeout => "timeout",
            Self::ClientTimeout => "client_timeout",
            Self::ClientAborted => "client_aborted",
            Self::Stopped => "stopped",
            Self::Internal => "internal",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome;

    #[test]
    fn the_list_is_in_order() {
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, index);
        }
        assert_eq!(Outcome::ALL.last(), Some(&Outcome::Internal), "the last one");
    }
}
