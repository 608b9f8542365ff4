//! What one scrape answers with: what is counted, and what the state is.

use std::time::UNIX_EPOCH;

use dispa_common::Counter;

use super::{Vitals, process, targets};
use tracing_appender::non_blocking::ErrorCounter;

use crate::{
    metrics::Families,
    sink::Accounts,
    state::{EffectivePath, Interception, Last, PathStanding, ProbeCounts, State},
};

/// Everything there is to know at this moment.
pub(super) fn families(vitals: &Vitals) -> Families {
    let mut families = Families::default();
    let state = vitals.live.state();
    state.ledger.metrics.collect(&mut families);
    families
        .counter(
            "dispa_retries_refused_total",
            "Requests that were not tried again, for too many were.",
        )
        .count(&[], state.retries_refused());
    families
        .counter(
            "dispa_tls_passed_total",
            "TLS connections to intercepted domains that went to where they were going, for no target speaks TLS.",
        )
        .count(&[], state.tls_passed());
    targets::collect(&mut families, &state);
    let most = state.capacity.occupancy().most;
    families
        .gauge("dispa_max_connections", "Connections of clients that may be open at once.")
        .count(&[], u64::try_from(most).unwrap_or(u64::MAX));
    if let Some(interception) = &state.interception {
        kernel(&mut families, interception);
    }
    if let Some(log) = state.ledger.traffic_log() {
        traffic_log(&mut families, &log.accounts());
    }
    daemon(&mut families, vitals, &state);
    configuration(&mut families, &vitals.reloader.last(), state.generation, vitals);
    process::collect(&mut families, vitals.started);
    families
}

fn kernel(families: &mut Families, interception: &Interception) {
    path(families, interception.path());
    let Ok(report) = interception.report() else { return };
    let mut hits = families.counter(
        "dispa_kernel_hits_total",
        "Connections and DNS questions to intercepted destinations, by what the kernel's hooks did with them.",
    );
    for counter in
        Counter::ALL.into_iter().filter(|it| !matches!(it, Counter::EventLost | Counter::Probe))
    {
        hits.count(&[("outcome", counter.name())], report.outcomes.of(counter));
    }
    families
        .counter(
            "dispa_kernel_events_lost_total",
            "Debug events that found no room (with -v only).",
        )
        .count(&[], report.outcomes.of(Counter::EventLost));
    let made = report.attributed;
    families
        .counter(
            "dispa_attributed_connections_total",
            "Connections to the doors, by what is known of the program that made them.",
        )
        .count(&[("known", "program")], made.attributed.saturating_sub(made.unnamed))
        .count(&[("known", "number")], made.unnamed)
        .count(&[("known", "nothing")], made.unknown)
        .count(&[("known", "remote")], made.remote);
    let mut gauge = |name: &str, help: &str, value: usize| {
        families.gauge(name, help).count(&[], u64::try_from(value).unwrap_or(u64::MAX));
    };
    gauge("dispa_slots_in_use", "Slots that stand for a destination.", report.slots_in_use);
    gauge("dispa_slots_free", "Slots that can be given out.", report.slots_free);
    gauge("dispa_learned_names", "Names whose addresses are known.", report.names);
    gauge("dispa_learned_addresses", "Addresses that these names have.", report.addresses);
    families
        .gauge("dispa_slots_held", "Holds of connections and DNS flows on slots.")
        .count(&[], report.slots_held);
    families
        .counter("dispa_addresses_not_learned_total", "Addresses for which there was no room.")
        .count(&[], report.not_learned);
}

fn path(families: &mut Families, path: &EffectivePath) {
    let broken = path.finding().standing == PathStanding::Broken;
    families
        .gauge("dispa_path_broken", "1 while something keeps connections from being intercepted.")
        .count(&[], u64::from(broken));
    let ProbeCounts { arrived, failed } = path.counts();
    families
        .counter(
            "dispa_path_probes_total",
            "Connections of the daemon's own that showed whether connections arrive, or did not arrive.",
        )
        .count(&[("result", "arrived")], arrived)
        .count(&[("result", "failed")], failed);
}

fn traffic_log(families: &mut Families, accounts: &[Accounts]) {
    let mut records = families.counter(
        "dispa_traffic_log_records_total",
        "Records that came to a sink of the traffic log, and those of them that are where they belong.",
    );
    for Accounts { sink, observed, written, .. } in accounts {
        records.count(&[("sink", sink), ("fate", "observed")], *observed);
        records.count(&[("sink", sink), ("fate", "written")], *written);
    }
    let mut dropped =
        families.counter("dispa_traffic_log_dropped_total", "Records that are gone, by reason.");
    for sink in accounts {
        // Those of which there are none, too: what begins with its first one shows no increase.
        for (reason, count) in sink.dropped_by_reason() {
            dropped.count(&[("sink", &sink.sink), ("reason", reason)], count);
        }
    }
    let mut waiting = families.gauge(
        "dispa_traffic_log_waiting_records",
        "Records on their way, in memory (queue) or in the spill file (spill).",
    );
    for Accounts { sink, queued, spilled, .. } in accounts {
        waiting.count(&[("sink", sink), ("place", "queue")], *queued);
        waiting.count(&[("sink", sink), ("place", "spill")], *spilled);
    }
    let mut well = families
        .gauge("dispa_traffic_log_healthy", "1 as long as nothing keeps the sink from writing.");
    for Accounts { sink, trouble, .. } in accounts {
        well.count(&[("sink", sink)], u64::from(trouble.is_none()));
    }
}

fn daemon(families: &mut Families, vitals: &Vitals, state: &State) {
    families
        .gauge("dispa_build_info", "1; the version is in the label.")
        .count(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    families
        .gauge("dispa_workers", "Threads that serve traffic.")
        .count(&[], u64::try_from(state.workers).unwrap_or(u64::MAX));
    families
        .gauge(
            "dispa_heartbeat_age_seconds",
            "Since the last sign of life of the worker that has been silent for longest.",
        )
        .add(&[], vitals.silence().as_secs_f64());
    let dropped = vitals.dropped_lines.as_ref().map_or(0, ErrorCounter::dropped_lines);
    let dropped = u64::try_from(dropped).unwrap_or(u64::MAX);
    families
        .counter("dispa_log_lines_dropped_total", "Lines of the log that found no room.")
        .count(&[], dropped);
}

fn configuration(families: &mut Families, last: &Last, generation: u64, vitals: &Vitals) {
    families
        .counter("dispa_config_reloads_total", "Configurations that were read again.")
        .count(&[("result", "ok")], last.succeeded)
        .count(&[("result", "refused")], last.refused);
    families
        .gauge("dispa_config_generation", "The number of the configuration that counts.")
        .count(&[], generation);
    families
        .gauge("dispa_config_last_reload_successful", "1 unless the last one was refused.")
        .count(&[], u64::from(last.error.is_none()));
    let at = last.succeeded_at.unwrap_or(vitals.started);
    families
        .gauge(
            "dispa_config_last_reload_success_timestamp_seconds",
            "When the configuration that counts was read, in seconds since 1970.",
        )
        .add(&[], at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
}
