//! What the system charges to a process.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

/// Processor time of a process and its children, in ns, all threads together.
pub(super) fn cpu_ns(process: u32) -> Result<f64> {
    let mut sum = 0.0;
    for process in family(process)? {
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            let path = task?.path().join("schedstat");
            let text = fs::read_to_string(&path)?;
            let ran = text.split(' ').next().context("a number")?;
            sum += ran.parse::<f64>().with_context(|| path.display().to_string())?;
        }
    }
    Ok(sum)
}

/// Memory of a process and its children that is theirs, in KiB: shared pages count by their share.
pub(super) fn memory_kib(process: u32) -> Result<f64> {
    let mut sum = 0.0;
    for process in family(process)? {
        let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
        sum += line.trim().trim_end_matches("kB").trim().parse::<f64>()?;
    }
    Ok(sum)
}

fn family(process: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{process}/task/{process}/children");
    let text = fs::read_to_string(Path::new(&path)).with_context(|| path.clone())?;
    let children = text.split_whitespace().map(str::parse::<u32>);
    let mut all = vec![process];
    for child in children {
        all.extend(family(child?)?);
    }
    Ok(all)
}
