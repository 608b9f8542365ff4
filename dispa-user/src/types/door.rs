//! The two ways into the proxy.

/// The listener that a connection came in by. Both doors open into the same walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// Reached through the kernel's rewriting of `connect()`; the program knows nothing of it.
    Transparent,
    /// `server.bind_address`: an ordinary proxy that routes by the `Host` header.
    Explicit,
}

impl Door {
    /// Both, in order.
    pub const ALL: [Self; 2] = [Self::Transparent, Self::Explicit];

    /// The label that logs and metrics use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transparent => "transparent",
            Self::Explicit => "explicit",
        }
    }
}
