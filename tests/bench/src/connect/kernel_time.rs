//! What the kernel itself says a run of each program takes (`BPF_ENABLE_STATS`, Linux 5.8).
//! Measuring costs time of its own, so it is on in turns that count for nothing else.

use std::fs;

use anyhow::{Context as _, Result};
use aya::sys::{Stats, enable_stats};

use super::rig::{Case, Rig};

/// Mean run time of one program in one case.
#[derive(Clone, Debug)]
pub(super) struct KernelTime {
    pub(super) program: &'static str,
    pub(super) case: Case,
    pub(super) mean_ns: f64,
    pub(super) runs: u64,
}

/// Turns for each case.
const TURNS: usize = 3;

/// Run times of the programs that ran at all, by case.
pub(super) fn measure(rig: &mut Rig, samples: usize) -> Result<Vec<KernelTime>> {
    let _on = enable_stats(Stats::RunTime).context("the kernel keeps no BPF statistics")?;
    let mut times = Vec::new();
    for case in [Case::Missed, Case::Redirected] {
        let before = read(rig)?;
        for _ in 0..TURNS {
            rig.measure(case, samples)?;
        }
        for (was, is) in before.into_iter().zip(read(rig)?) {
            let runs = is.runs - was.runs;
            if runs > 0 {
                #[expect(clippy::cast_precision_loss, reason = "some thousand runs of some ns")]
                let mean_ns = (is.ns - was.ns) as f64 / runs as f64;
                times.push(KernelTime { program: is.program, case, mean_ns, runs });
            }
        }
    }
    Ok(times)
}

struct Account {
    program: &'static str,
    ns: u64,
    runs: u64,
}

fn read(rig: &Rig) -> Result<Vec<Account>> {
    rig.interceptor()
        .program_descriptors()
        .into_iter()
        .map(|(program, descriptor)| {
            let (ns, runs) = account(descriptor)?;
            Ok(Account { program, ns, runs })
        })
        .collect()
}

/// The run time so far, in ns, and the runs of the program with this descriptor.
pub(crate) fn account(descriptor: i32) -> Result<(u64, u64)> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}"))?;
    Ok((field(&info, "run_time_ns:")?, field(&info, "run_cnt:")?))
}

fn field(info: &str, name: &str) -> Result<u64> {
    let value = info.lines().find_map(|line| line.strip_prefix(name));
    Ok(value.with_context(|| format!("no {name} in fdinfo"))?.trim().parse()?)
}
