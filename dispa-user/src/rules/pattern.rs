//! One entry of a domain list.

use std::fmt;

use crate::types::{HostName, HostNameError};

/// A domain or a family of domains.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// `example.com`: this host and no other.
    Exact(HostName),
    /// `*.test.com`: every host below the suffix `test.com`, however deep, but not `test.com`.
    Wildcard(HostName),
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Only `*`.
    #[error("`*` alone would stand for every domain")]
    Everything,
    /// A star that is not the whole first label.
    #[error("`*` can only be the whole first label, as in `*.example.com`")]
    MisplacedStar,
    /// A wildcard below a number, as in `*.0.2.1`.
    #[error("a wildcard cannot stand for IP addresses; list each address, or use its domain name")]
    BelowAddress,
    /// What remains is not a host name.
    #[error(transparent)]
    BadName(#[from] HostNameError),
}

impl Pattern {
    /// Reads `example.com` or `*.example.com`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if matches!(text, "*" | "*.") {
            return Err(PatternError::Everything);
        }
        let wildcard = text.strip_prefix("*.");
        let name = wildcard.unwrap_or(text);
        if name.contains('*') {
            return Err(PatternError::MisplacedStar);
        }
        let host = HostName::parse(name)?;
        match wildcard {
            None => Ok(Self::Exact(host)),
            Some(_) if ends_in_number(&host) => Err(PatternError::BelowAddress),
            Some(_) => Ok(Self::Wildcard(host)),
        }
    }

    /// The name of an exact pattern, the suffix of a wildcard.
    #[must_use]
    pub const fn host(&self) -> &HostName {
        match self {
            Self::Exact(host) | Self::Wildcard(host) => host,
        }
    }

    /// Whether `host` is what this stands for.
    #[must_use]
    pub fn matches(&self, host: &HostName) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Wildcard(suffix) => host
                .as_str()
                .strip_suffix(suffix.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        }
    }

    /// Whether this is a wildcard.
    #[must_use]
    pub const fn is_wildcard(&self) -> bool {
        matches!(self, Self::Wildcard(_))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => write!(f, "{host}"),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

/// True of IP literals and of their ends; no name of the public DNS ends so.
fn ends_in_number(host: &HostName) -> bool {
    let last = host.as_str().rsplit('.').next().unwrap_or_default();
    host.ip().is_some() || last.bytes().all(|byte| byte.is_ascii_digit())
}
