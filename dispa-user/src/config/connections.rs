//! `[targets.connections]`: how many connections are kept to the targets.

use std::time::Duration;

use super::section::Section;
use super::value::{integer, seconds};

/// More than a process may have open on most hosts.
const MAX_CONNECTIONS: usize = 1_000_000;
const DEFAULT_MAX: usize = 4096;
const DEFAULT_MAX_PER_TARGET: usize = 1024;
const DEFAULT_MAX_IDLE: usize = 128;
/// Shorter than the idle timeouts of common servers (nginx 75 s, Node 5 s, Apache 5 s), where that
/// is possible without giving up reuse.
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// How many connections are kept to the targets. All workers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamConnections {
    /// Open at once.
    pub max: usize,
    /// Open at once to one target.
    pub max_per_target: usize,
    /// Idle at once to one target.
    pub max_idle_per_target: usize,
    /// How long an idle one is kept.
    pub idle_timeout: Duration,
}

impl UpstreamConnections {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let count = integer(1..=MAX_CONNECTIONS);
        let idle = integer(0..=MAX_CONNECTIONS);
        Self {
            max: section.key_or("max", &count, DEFAULT_MAX),
            max_per_target: section.key_or("max_per_target", &count, DEFAULT_MAX_PER_TARGET),
            max_idle_per_target: section.key_or("max_idle_per_target", idle, DEFAULT_MAX_IDLE),
            idle_timeout: section.key_or("idle_timeout", seconds, DEFAULT_IDLE_TIMEOUT),
        }
    }
}
