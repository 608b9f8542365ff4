//! How the targets are, and their pools.

use std::{collections::HashSet, time::Duration};

use dispa_common::BackendCounts;

use crate::{
    metrics::{Families, MOST_NAMES, OVERFLOW},
    state::State,
    upstream::{Backend, Standing, Totals},
};

/// One count of several.
type Count<T> = fn(&T) -> u64;

/// A target at the moment of a scrape.
struct Target<'s> {
    /// Its name, or what it shares with the last of very many.
    label: &'s str,
    backend: &'s Backend,
    standing: Standing,
    totals: Totals,
    /// Where the kernel counts.
    kernel: Option<BackendCounts>,
}

impl Target<'_> {
    /// What is no sum makes no sense under a name that is shared.
    fn has_name(&self) -> bool {
        self.label != OVERFLOW
    }
}

/// Adds all that is known of them.
pub(super) fn collect(families: &mut Families, state: &State) {
    let targets: Vec<_> = state.backends.all().iter().enumerate().map(target(state)).collect();
    condition(families, &targets);
    exchanges(families, &targets);
    connections(families, &targets);
    kernel(families, &targets);
    pools(families, state);
}

fn target<'s>(state: &'s State) -> impl Fn((usize, &'s std::sync::Arc<Backend>)) -> Target<'s> {
    |(index, backend)| {
        let kernel = state.interception.as_ref();
        Target {
            label: label(index, &backend.name),
            standing: state.backends.standing(backend),
            totals: backend.totals(),
            kernel: kernel.and_then(|it| it.backend_counts(backend.number).ok().flatten()),
            backend,
        }
    }
}

fn label(index: usize, name: &str) -> &str {
    if index < MOST_NAMES { name } else { OVERFLOW }
}

fn condition(families: &mut Families, targets: &[Target<'_>]) {
    let named = || targets.iter().filter(|target| target.has_name());
    let mut healthy =
        families.gauge("dispa_target_healthy", "1 unless probes or requests speak against it.");
    for it in named() {
        healthy.count(&[("target", it.label)], u64::from(it.standing == Standing::Up));
    }
    let mut ejected =
        families.gauge("dispa_target_ejected", "1 while it is left alone for what requests did.");
    for it in named() {
        ejected.count(&[("target", it.label)], u64::from(it.standing == Standing::Ejected));
    }
    let mut ejections = families.counter("dispa_target_ejections_total", "How often it was.");
    for it in targets {
        ejections.count(&[("target", it.label)], it.totals.ejections);
    }
    let mut changes = families
        .counter("dispa_target_health_changes_total", "How often probes changed their verdict.");
    for (to, count) in [("up", (|it| it.ups) as Count<Totals>), ("down", |it| it.downs)] {
        for it in targets {
            changes.count(&[("target", it.label), ("to", to)], count(&it.totals));
        }
    }
}

fn exchanges(families: &mut Families, targets: &[Target<'_>]) {
    let mut requests = families.counter(
        "dispa_target_requests_total",
        "Requests, and TLS connections, that it was to answer; each attempt counts.",
    );
    for it in targets {
        requests.count(&[("target", it.label)], it.totals.taken);
    }
    let mut answers = families.counter(
        "dispa_target_answers_total",
        "What came of them: good, error (a status of 500 or more), failure (none, or 502 to 504).",
    );
    let worths: [(&str, Count<Totals>); 3] =
        [("good", |it| it.good), ("error", |it| it.errors), ("failure", |it| it.failures)];
    for (worth, count) in worths {
        for it in targets {
            answers.count(&[("target", it.label), ("worth", worth)], count(&it.totals));
        }
    }
    let mut under_way =
        families.gauge("dispa_target_requests_under_way", "Requests that it has not ended.");
    for it in targets {
        under_way.count(&[("target", it.label)], it.backend.under_way().into());
    }
    let mut latency = families.histogram(
        "dispa_target_response_seconds",
        "From a request to the head of its answer; of TLS, the time to connect.",
    );
    for it in targets.iter().filter(|target| target.has_name()) {
        latency.latency(&[("target", it.label)], it.backend.answers());
    }
}

/// As the kernel counts them, or, where it does not, as dispa does.
fn connections(families: &mut Families, targets: &[Target<'_>]) {
    let mut opened =
        families.counter("dispa_target_connections_opened_total", "Connections that were made.");
    for it in targets {
        let count = it.kernel.map_or(it.totals.opened, |kernel| kernel.opened);
        opened.count(&[("target", it.label)], count);
    }
    let mut failed = families
        .counter("dispa_target_connections_failed_total", "Those that were tried, and not made.");
    for it in targets {
        let count = it.kernel.map_or(it.totals.unopened, |kernel| kernel.failed);
        failed.count(&[("target", it.label)], count);
    }
}

/// What only the kernel counts.
fn kernel(families: &mut Families, targets: &[Target<'_>]) {
    let counts: [(&str, &str, Count<BackendCounts>); 4] = [
        ("dispa_target_connections_closed_total", "Connections that have ended.", |it| it.closed),
        ("dispa_target_sent_bytes_total", "Payload that it acknowledged.", |it| it.bytes_out),
        ("dispa_target_received_bytes_total", "Payload that arrived from it.", |it| it.bytes_in),
        ("dispa_target_retransmits_total", "Segments that were sent again.", |it| it.retransmits),
    ];
    let counted = || targets.iter().filter_map(|it| Some((it, it.kernel.as_ref()?)));
    for (name, help, count) in counts {
        let mut samples = families.counter(name, help);
        for (it, kernel) in counted() {
            samples.count(&[("target", it.label)], count(kernel));
        }
    }
    let mut rtt =
        families.gauge("dispa_target_rtt_seconds", "The smoothed round trip time last seen.");
    for (it, kernel) in counted().filter(|(it, kernel)| it.has_name() && kernel.rtt_us() > 0) {
        let time = Duration::from_micros(kernel.rtt_us());
        rtt.add(&[("target", it.label)], time.as_secs_f64());
    }
}

fn pools(families: &mut Families, state: &State) {
    let pools = || {
        let pools = state.backends.pools().iter().filter(|pool| !pool.members().is_empty());
        // Pools of one tag differ in their balancing alone.
        let mut seen = HashSet::new();
        let first = pools.filter(move |pool| seen.insert(pool.name()));
        first.enumerate().map(|(index, pool)| (label(index, pool.name()), pool))
    };
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let mut all = families.gauge("dispa_pool_targets", "Targets that are in the pool.");
    for (name, pool) in pools() {
        all.count(&[("pool", name)], number(pool.members().len()));
    }
    let mut fit = families.gauge("dispa_pool_targets_healthy", "Those of them that are healthy.");
    for (name, pool) in pools() {
        let is_up = |it: &&std::sync::Arc<Backend>| state.backends.standing(it) == Standing::Up;
        fit.count(&[("pool", name)], number(pool.members().iter().filter(is_up).count()));
    }
}
