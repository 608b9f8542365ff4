//! `bench`: measures what dispa costs, against a limit or a peer in the same run.

use anyhow::Result;

use crate::{build, cargo, ebpf, failure, setup, shell};

/// Builds and runs the benchmarks with these arguments, the benchmark's name first.
pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    failure::require_root("the benchmarks need network namespaces, cgroups and eBPF")?;
    setup::ensure(setup::BENCH)?;
    ebpf::build()?;
    build::daemon(true)?;
    shell::step("build the benchmarks", "package dispa-bench, optimised");
    shell::run(cargo::host().args(["build", "--release", "--package", "dispa-bench"]))?;
    shell::step("measure", "keep the machine quiet meanwhile");
    let mut command = cargo::host();
    command.args(["run", "--quiet", "--release", "--package", "dispa-bench", "--"]);
    shell::run(command.args(arguments))
}
