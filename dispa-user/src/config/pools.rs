//! Who answers for which domain: the one list of targets, and pools chosen by tag for virtual hosts.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::balancing::Balancing;
use super::domains::Domains;
use super::problem::{Problem, Span, quoted};
use super::section::Section;
use super::suggest::closest;
use super::target::{Declared, Target};
use super::targets::Targets;
use super::virtual_host::VirtualHost;
use crate::rules::{Pattern, Rule};

/// The pool of `[[targets.targets]]`, which answers wherever no virtual host says otherwise.
pub(super) const DEFAULT_POOL: usize = 0;
/// What it is called.
pub(super) const DEFAULT_NAME: &str = "default";

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
            name: DEFAULT_NAME.into(),
            members: (0..count).collect(),
            balancing: targets.balancing,
        };
        refuse_no_weight(root, &default, &declared, None);
        let mut pools = vec![default];
        let mut rules = Vec::new();
        let tagged = by_tag(&declared);
        // Of each tag, those that are there already; they differ in their balancing.
        let mut known: HashMap<&str, Vec<usize>> = HashMap::new();
        refuse_repeated_domains(root, &hosts);
        domains
            .refuse_wildcards(root, hosts.iter().map(|host| (&host.pattern, &host.pattern_span)));
        for host in &hosts {
            host.warn_of_conflicts(root, domains);
            let Some(members) = tagged.get(&*host.tag) else {
                refuse_unknown_tag(root, host, &tagged);
                continue;
            };
            let same = known.entry(&host.tag).or_default();
            let is_same = |index: &&usize| pools[**index].balancing == host.balancing;
            let index = same.iter().find(is_same).copied().unwrap_or_else(|| {
                let (name, balancing) = (Arc::clone(&host.tag), host.balancing.clone());
                let pool = Pool { name, members: members.clone(), balancing };
                refuse_no_weight(root, &pool, &declared, Some(&host.tag_span));
                pools.push(pool);
                same.push(pools.len() - 1);
                pools.len() - 1
            });
            rules.push(Rule { pattern: host.pattern.clone(), pool: index });
        }
        warn_of_idle(root, &declared, &pools, !domains.intercept.is_empty());
        let backends = declared.into_iter().map(|declared| declared.target).collect();
        Self { backends, all: pools, rules }
    }
}

/// Targets that no domain leads to. Where none leads anywhere, that is what is said.
fn warn_of_idle(root: &mut Section<'_>, declared: &[Declared], pools: &[Pool], default: bool) {
    let chosen: HashSet<usize> =
        pools.iter().skip(1).flat_map(|pool| pool.members.iter().copied()).collect();
    if !default && pools.len() == 1 {
        return;
    }
    let count = pools.first().map_or(0, |pool| pool.members.len());
    for (index, this) in declared.iter().enumerate() {
        if (default && index < count) || chosen.contains(&index) {
            continue;
        }
        let title = format!("no domain leads to {}", quoted(&this.target.name));
        let help = if index < count {
            "add a domain to `intercept_domains`, or have a virtual host choose one of its tags"
        } else {
            "have a virtual host choose one of its tags: `enabled_backends_tag`"
        };
        root.report(Problem::warning(title).at(this.name_span.clone(), "").help(help));
    }
}

/// The indices of the backends that have each tag.
fn by_tag(declared: &[Declared]) -> HashMap<Arc<str>, Vec<usize>> {
    let mut tagged: HashMap<_, Vec<usize>> = HashMap::new();
    for (index, declared) in declared.iter().enumerate() {
        for tag in &declared.target.tags {
            let members = tagged.entry(Arc::clone(tag)).or_default();
            if members.last() != Some(&index) {
                members.push(index);
            }
        }
    }
    tagged
}

fn refuse_unknown_tag(
    root: &mut Section<'_>,
    host: &VirtualHost,
    tagged: &HashMap<Arc<str>, Vec<usize>>,
) {
    let title = format!("no backend has the tag {}", quoted(&host.tag));
    let problem = Problem::error(title).at(host.tag_span.clone(), "");
    let help = match closest(&host.tag, tagged.keys().map(|tag| &**tag)) {
        Some(meant) => format!("did you mean {}?", quoted(meant)),
        None => format!("give one of [[backends]] `tags = [{:?}]`", host.tag),
    };
    root.report(problem.help(help));
}

fn refuse_repeated_names(root: &mut Section<'_>, declared: &[Declared]) {
    let mut seen: HashMap<&str, &Span> = HashMap::new();
    for this in declared {
        let name = &*this.target.name;
        if let Some(first) = seen.get(name) {
            let title = format!("two targets are named {}", quoted(name));
            let problem = Problem::error(title).at(this.name_span.clone(), "");
            let problem = problem.at((*first).clone(), "first here");
            root.report(problem.help("logs and metrics tell targets apart by their names"));
        } else {
            seen.insert(name, &this.name_span);
        }
    }
}

fn refuse_repeated_domains(root: &mut Section<'_>, hosts: &[VirtualHost]) {
    let mut seen: HashMap<&Pattern, &Span> = HashMap::new();
    for host in hosts {
        if let Some(first) = seen.get(&host.pattern) {
            let title = format!("two virtual hosts are for {}", quoted(&host.pattern.to_string()));
            let problem = Problem::error(title).at(host.pattern_span.clone(), "");
            root.report(problem.at((*first).clone(), "first here"));
        } else {
            seen.insert(&host.pattern, &host.pattern_span);
        }
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
