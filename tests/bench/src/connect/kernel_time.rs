//! What the kernel itself says a run of each program takes (`BPF_ENABLE_STATS`, Linux 5.8).
//! Measuring costs time of its own, so it is on in turns that count for nothing else.

use std::fs;

use anyhow::{Context as _, Result};
use aya::sys::{Stats, enable_stats};

use super::{
    report::name,
    rig::{Case, Rig},
};

/// Mean run time of one program on one way.
#[derive(Clone, Debug)]
pub(super) struct KernelTime {
    pub(super) program: &'static str,
    /// What the way is called.
    pub(super) way: &'static str,
    pub(super) mean_ns: f64,
    pub(super) runs: u64,
}

/// Turns for each case.
const TURNS: usize = 3;

/// Run times of the programs that ran at all, by case.
pub(super) fn measure(rig: &mut Rig, samples: usize) -> Result<Vec<KernelTime>> {
    let mut times = Vec::new();
    for case in [Case::Missed, Case::Redirected] {
        let attached = rig.interceptor().program_descriptors();
        times.extend(of_programs(&attached, name(case), || {
            (0..TURNS).try_for_each(|_| rig.measure(case, samples).map(drop))
        })?);
    }
    Ok(times)
}

/// Run times of those of `programs` that ran at all while `work` was done.
pub(super) fn of_programs(
    programs: &[(&'static str, i32)],
    way: &'static str,
    work: impl FnOnce() -> Result<()>,
) -> Result<Vec<KernelTime>> {
    let _on = enable_stats(Stats::RunTime).context("the kernel keeps no BPF statistics")?;
    let before = read(programs)?;
    work()?;
    let mut times = Vec::new();
    for (was, is) in before.into_iter().zip(read(programs)?) {
        let runs = is.runs - was.runs;
        if runs > 0 {
            #[expect(clippy::cast_precision_loss, reason = "some thousand runs of some ns")]
            let mean_ns = (is.ns - was.ns) as f64 / runs as f64;
            times.push(KernelTime { program: is.program, way, mean_ns, runs });
        }
    }
    Ok(times)
}

struct Account {
    program: &'static str,
    ns: u64,
    runs: u64,
}

fn read(programs: &[(&'static str, i32)]) -> Result<Vec<Account>> {
    let read = |&(program, descriptor): &(&'static str, i32)| {
        let (ns, runs) = account(descriptor)?;
        Ok(Account { program, ns, runs })
    };
    programs.iter().map(read).collect()
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
