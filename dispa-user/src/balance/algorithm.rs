//! The choice of algorithm.

/// How a pool spreads exchanges over its backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Each in turn.
    RoundRobin,
    /// Each in turn, as often as its weight says.
    Weighted,
    /// By chance, in proportion to the weights.
    Random,
    /// The one with the fewest exchanges under way, measured against its weight.
    LeastConnections,
    /// Of two that chance picks the one with less under way, and faster.
    TwoChoices,
    /// The same one for the same key, as long as it has not much more than its share.
    Hash,
    /// The same one for the same key, however busy it is.
    Sticky,
}

impl Algorithm {
    /// Every accepted name with its meaning. The name without an underscore comes first: it is
    /// the one shown to people.
    pub const NAMES: &'static [(&'static str, Self)] = &[
        ("roundrobin", Self::RoundRobin),
        ("weighted", Self::Weighted),
        ("random", Self::Random),
        ("leastconnections", Self::LeastConnections),
        ("p2c", Self::TwoChoices),
        ("hash", Self::Hash),
        ("round_robin", Self::RoundRobin),
        ("least_connections", Self::LeastConnections),
    ];

    /// The algorithm of that name, if there is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let known = Self::NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, algorithm)| *algorithm)
    }

    /// The label that logs and metrics use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "roundrobin",
            Self::Weighted => "weighted",
            Self::Random => "random",
            Self::LeastConnections => "leastconnections",
            Self::TwoChoices => "p2c",
            Self::Hash => "hash",
            Self::Sticky => "sticky",
        }
    }
}
