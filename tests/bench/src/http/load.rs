//! What loads the proxies: wrk and h2load.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dispa_lab::run;

/// More than the end of a load takes.
const GRACE: Duration = Duration::from_secs(30);

/// What one load did and saw.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Answers.
    pub(super) operations: f64,
    /// Latency, µs; of h2load there is none.
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// Runs wrk, whose arguments are there but for its time and its measuring.
pub(super) fn wrk(command: &mut Command, seconds: u64) -> Result<Load> {
    command.args(["-t1", "--latency", &format!("-d{seconds}s")]);
    let said = run(command, Duration::from_secs(seconds) + GRACE)?.success()?;
    let failed = said.contains("Non-2xx") || said.contains("Socket errors");
    ensure!(!failed, "not every answer was good:\n{said}");
    let answers = said.lines().find_map(|line| line.split_once(" requests in "));
    let operations = answers.context("wrk says how many")?.0.trim().parse()?;
    Ok(Load { operations, p50: percentile(&said, "50%")?, p99: percentile(&said, "99%")? })
}

/// Runs h2load, whose arguments are there but for its time.
pub(super) fn h2load(command: &mut Command, seconds: u64) -> Result<Load> {
    command.args(["-t1", "-D", &seconds.to_string()]);
    let said = run(command, Duration::from_secs(seconds) + GRACE)?.success()?;
    let line = said.lines().find(|line| line.starts_with("requests:")).context("no requests")?;
    let count = |word: &str| -> Result<f64> {
        let before = line.split(',').find_map(|part| part.trim().strip_suffix(word));
        let number = before.and_then(|it| it.split_whitespace().last());
        Ok(number.with_context(|| format!("no {word:?} in {line:?}"))?.parse()?)
    };
    let operations = count("succeeded")?;
    ensure!(operations > 0.0, "nothing succeeded: {line}");
    Ok(Load { operations, p50: f64::NAN, p99: f64::NAN })
}

/// A line such as `50%  1.02ms`, in µs.
fn percentile(said: &str, which: &str) -> Result<f64> {
    let value =
        said.lines().find_map(|line| line.trim().strip_prefix(which)).context("wrk says")?;
    let value = value.trim();
    for (unit, factor) in [("us", 1.0), ("ms", 1e3), ("s", 1e6)] {
        if let Some(number) = value.strip_suffix(unit) {
            return Ok(number.parse::<f64>()? * factor);
        }
    }
    anyhow::bail!("{value:?} is no time")
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn times_are_read_in_every_unit() -> anyhow::Result<()> {
        let said = "  Latency Distribution\n     50%  531.00us\n     99%    1.25ms\n";
        assert!((percentile(said, "50%")? - 531.0).abs() < 1e-9);
        assert!((percentile(said, "99%")? - 1250.0).abs() < 1e-9);
        Ok(())
    }
}
