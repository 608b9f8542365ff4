//! `[targets]`: the servers that answer unless a virtual host says otherwise, how exchanges are spread
//! over them, and how all backends are watched and connected to.

use super::balancing::Balancing;
use super::connections::UpstreamConnections;
use super::health_check::HealthCheck;
use super::section::Section;
use super::target::Declared;

/// What `[targets]` says.
#[derive(Debug)]
pub(super) struct Targets {
    pub(super) declared: Vec<Declared>,
    pub(super) balancing: Balancing,
    pub(super) connections: UpstreamConnections,
    pub(super) health: HealthCheck,
    /// Whether any target is written, good or bad.
    pub(super) any: bool,
}

impl Targets {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let declared = section.tables("targets", Declared::read);
        let any = !declared.is_empty();
        Self {
            declared: declared.into_iter().flatten().collect(),
            balancing: section.table("load_balancing", Balancing::read),
            connections: section.table("connections", UpstreamConnections::read),
            health: section.table("health_check", HealthCheck::read),
            any,
        }
    }
}
