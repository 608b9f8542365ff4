//! Who answers for which domain: the one list of targets, and pools chosen by tag for virtual hosts.

use std::sync::Arc;

use super::balancing::Balancing;
use super::domains::Domains;
use super::problem::{Problem, Span, quoted};
use super::section::Section;
use super::suggest::closest;
use super::target::{Declared, Target};
use super::targets::Targets;
use super::virtual_host::VirtualHost;
use crate::rules::Rule;

/// The pool of `[[targets.targets]]`, which answers wherever no virtual host says otherwise.
pub(super) const DEFAULT_POOL: usize = 0;

/// The backends that a domain is balanced over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The tag that its backends have; `default` for the list of targets.
    pub name: Arc<str>,
    /// Indices of its backends.
    pub members: Vec<usize>,
    /// How exchanges are spread over them.
    pub balancing: Balancing,
}

/// All backends, the pools they are in, and the domains of virtual hosts.
#[derive(Debug)]
pub(super) struct Pools {
    pub(super) backends: Vec<Target>,
    pub(super) all: Vec<Pool>,
    pub(super) rules: Vec<Rule>,
}

impl Pools {
    pub(super) fn read(root: &mut Section<'_>, targets: Targets, domains: &Domains) -> Self {
        let own = root.tables("backends", Declared::read_tagged);
        let hosts =
            root.tables("virtual_hosts", |section| VirtualHost::read(section, &targets.balancing));
        let hosts: Vec<VirtualHost> = hosts.into_iter().flatten().collect();
        let count = targets.declared.len();
        let declared: Vec<Declared> =
            targets.declared.into_iter().chain(own.into_iter().flatten()).collect();
        refuse_repeated_names(root, &declared);
        let default = Pool {
            name: "default".into(),
            members: (0..count).collect(),
            balancing: targets.balancing,
        };
        refuse_no_weight(root, &default, &declared, None);
        let mut pools = vec![default];
        let mut rules = Vec::new();
        for (index, host) in hosts.iter().enumerate() {
            refuse_repeated_domain(root, host, hosts.iter().take(index));
            host.warn_of_conflicts(root, domains);
            let Some(pool) = pool_of(host, &declared, root) else { continue };
            // The first one is for no virtual host.
            let known = pools.iter().skip(1).position(|it| *it == pool).map(|index| index + 1);
            let pool = known.unwrap_or_else(|| {
                refuse_no_weight(root, &pool, &declared, Some(&host.tag_span));
                pools.push(pool);
                pools.len() - 1
            });
            rules.push(Rule { pattern: host.pattern.clone(), pool });
        }
        let backends = declared.into_iter().map(|declared| declared.target).collect();
        Self { backends, all: pools, rules }
    }
}

/// The backends that have the tag of `host`.
fn pool_of(host: &VirtualHost, declared: &[Declared], root: &mut Section<'_>) -> Option<Pool> {
    let tagged = declared.iter().enumerate().filter(|(_, it)| it.target.tags.contains(&host.tag));
    let members: Vec<usize> = tagged.map(|(index, _)| index).collect();
    if members.is_empty() {
        let tags = declared.iter().flat_map(|it| &it.target.tags).map(|tag| &**tag);
        let title = format!("no backend has the tag {}", quoted(&host.tag));
        let problem = Problem::error(title).at(host.tag_span.clone(), "");
        let help = match closest(&host.tag, tags) {
            Some(meant) => format!("did you mean {}?", quoted(meant)),
            None => format!("give one of [[backends]] `tags = [{}]`", quoted(&host.tag)),
        };
        root.report(problem.help(help));
        return None;
    }
    Some(Pool { name: Arc::clone(&host.tag), members, balancing: host.balancing.clone() })
}

fn refuse_repeated_names(root: &mut Section<'_>, declared: &[Declared]) {
    for (index, this) in declared.iter().enumerate() {
        let mut before = declared.iter().take(index);
        if let Some(first) = before.find(|before| before.target.name == this.target.name) {
            let title = format!("two targets are named {}", quoted(&this.target.name));
            let problem = Problem::error(title).at(this.name_span.clone(), "");
            let problem = problem.at(first.name_span.clone(), "first here");
            root.report(problem.help("logs and metrics tell targets apart by their names"));
        }
    }
}

fn refuse_repeated_domain<'h>(
    root: &mut Section<'_>,
    host: &VirtualHost,
    mut before: impl Iterator<Item = &'h VirtualHost>,
) {
    if let Some(first) = before.find(|before| before.pattern == host.pattern) {
        let title = format!("two virtual hosts are for {}", quoted(&host.pattern.to_string()));
        let problem = Problem::error(title).at(host.pattern_span.clone(), "");
        root.report(problem.at(first.pattern_span.clone(), "first here"));
    }
}

/// `tag` is where the pool is chosen, if it is not the list of targets.
fn refuse_no_weight(
    root: &mut Section<'_>,
    pool: &Pool,
    declared: &[Declared],
    tag: Option<&Span>,
) {
    let members = || pool.members.iter().filter_map(|&index| declared.get(index));
    if members().any(|declared| declared.target.weight > 0) {
        return;
    }
    let Some(span) = members().find_map(|declared| declared.weight_span.clone()) else { return };
    let mut problem = Problem::error("every target has weight 0, so that none can be picked");
    problem = problem.at(span, "");
    if let Some(tag) = tag {
        problem = problem.at(tag.clone(), "chosen here");
    }
    root.report(problem.help("give at least one of them a weight of 1 or more"));
}
