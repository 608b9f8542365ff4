//! `[targets]`: the servers that can answer, and how exchanges are spread over them.

use super::connections::UpstreamConnections;
use super::health_check::HealthCheck;
use super::problem::{Problem, quoted};
use super::section::Section;
use super::target::{Declared, Target};
use super::value::{Reading, Value, boolean, choice};
use crate::balance::Algorithm;

/// What `[targets]` says.
#[derive(Debug)]
pub(super) struct Targets {
    pub(super) list: Vec<Target>,
    pub(super) balancing: Algorithm,
    pub(super) connections: UpstreamConnections,
    pub(super) health: HealthCheck,
    /// Whether any target is written, good or bad.
    pub(super) any: bool,
}

impl Targets {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let declared = section.tables("targets", Declared::read);
        let any = !declared.is_empty();
        let declared: Vec<Declared> = declared.into_iter().flatten().collect();
        refuse_repeated_names(section, &declared);
        refuse_no_weight(section, &declared);
        let balancing = section.table("load_balancing", load_balancing);
        let connections = section.table("connections", UpstreamConnections::read);
        let health = section.table("health_check", HealthCheck::read);
        let list = declared.into_iter().map(|declared| declared.target).collect();
        Self { list, balancing, connections, health, any }
    }
}

fn load_balancing(section: &mut Section<'_>) -> Algorithm {
    section.key("sticky_sessions", not_sticky);
    section.key_or("type", choice(Algorithm::NAMES), Algorithm::RoundRobin)
}

fn not_sticky(value: &Value<'_>) -> Reading<()> {
    if !boolean(value)? {
        return Ok(());
    }
    let problem = Problem::error("sticky sessions are not supported in this version");
    Err(vec![problem.at(value.span(), "").help("set it to false, or remove it")])
}

fn refuse_repeated_names(section: &mut Section<'_>, declared: &[Declared]) {
    for (index, this) in declared.iter().enumerate() {
        let mut before = declared.iter().take(index);
        if let Some(first) = before.find(|before| before.target.name == this.target.name) {
            let title = format!("two targets are named {}", quoted(&this.target.name));
            let problem = Problem::error(title).at(this.name_span.clone(), "");
            let problem = problem.at(first.name_span.clone(), "first here");
            section.report(problem.help("logs and metrics tell targets apart by their names"));
        }
    }
}

fn refuse_no_weight(section: &mut Section<'_>, declared: &[Declared]) {
    if declared.iter().any(|declared| declared.target.weight > 0) {
        return;
    }
    if let Some(span) = declared.iter().find_map(|declared| declared.weight_span.clone()) {
        let problem = Problem::error("every target has weight 0, so that none can be picked");
        section
            .report(problem.at(span, "").help("give at least one of them a weight of 1 or more"));
    }
}
