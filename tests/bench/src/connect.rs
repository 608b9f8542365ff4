//! `connect`: what `connect()` and a later round trip cost, direct, with dispa attached, redirected
//! by dispa, and redirected by iptables.
//!
//! Each case has a process of its own, pinned to one core, that is both ends of its connections: no
//! other process takes part, so that what differs is the path through the kernel alone. The
//! cases take turns, in an order that changes every round. What the daemon does at accept to find out who
//! connected is measured apart.

mod attribution;
mod kernel_time;
mod probe;
mod report;
mod rig;

use anyhow::Result;
use clap::Args;
use dispa_lab::Lab;

pub(crate) use kernel_time::account;
pub(crate) use probe::{CORE, Ends, pin, probe};
use report::Report;
use rig::{Case, Rig};

/// How much is measured.
#[derive(Clone, Debug, Args)]
pub(crate) struct Size {
    /// Turns of every case; the figures are medians over them.
    #[arg(long, default_value_t = 24)]
    rounds: usize,
    /// Connections, and as many round trips, in each turn.
    #[arg(long, default_value_t = 2000)]
    samples: usize,
}

/// Measures and prints the table.
pub(crate) fn run(size: &Size) -> Result<()> {
    let report = Lab::run(|lab| {
        let rig = Rig::dispa(lab)?;
        let (questions, kernel_times) = attribution::measure(size.samples)?;
        // iptables brings connection tracking to its whole namespace: it gets one of its own.
        let mut report = Lab::run(|lab| measure(rig.with_iptables(lab)?, size))?;
        report.questions = questions;
        report.kernel_times.extend(kernel_times);
        Ok(report)
    })?;
    report.print(size);
    Ok(())
}

fn measure(mut rig: Rig, size: &Size) -> Result<Report> {
    let mut report = Report::default();
    for round in 0..size.rounds {
        for turn in 0..Case::ALL.len() {
            let case = Case::ALL[(round + turn) % Case::ALL.len()];
            report.add(case, rig.measure(case, size.samples)?);
        }
    }
    report.kernel_times = kernel_time::measure(&mut rig, size.samples)?;
    Ok(report)
}
