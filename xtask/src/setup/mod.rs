//! `setup`: installs what is missing, and says each thing and why. Quick where nothing is.

mod apt;
mod guest;
mod no_services;
mod node;
mod packages;
mod python;

use anyhow::Result;

use crate::{ebpf, shell};
use apt::Apt;
pub(crate) use packages::Group;

/// What building takes.
pub(crate) const TOOLCHAIN: &[Group] = &[Group::Host, Group::Compiler, Group::Linker];
/// What the demo takes.
pub(crate) const DEMO: &[Group] = &[Group::Host, Group::Compiler, Group::Linker, Group::Network];
/// What the benchmarks take.
pub(crate) const BENCH: &[Group] =
    &[Group::Host, Group::Compiler, Group::Linker, Group::Network, Group::Lab, Group::Peers];
/// What the tests take.
pub(crate) const ALL: &[Group] = &[
    Group::Host,
    Group::Compiler,
    Group::Linker,
    Group::Network,
    Group::Lab,
    Group::Guest,
    Group::Fuzzer,
];

/// What making packages takes.
pub(crate) const PACKAGE: &[Group] =
    &[Group::Host, Group::Compiler, Group::Linker, Group::Packager];
/// What trying the service takes.
pub(crate) const SERVICE: &[Group] =
    &[Group::Host, Group::Compiler, Group::Linker, Group::Packager, Group::Service];

/// Makes this machine ready for every command.
pub(crate) fn everything() -> Result<()> {
    ensure(ALL)?;
    ensure(BENCH)?;
    ebpf::ensure_linker()?;
    shell::step("ready", "nothing is missing to build and test dispa");
    Ok(())
}

/// Makes this machine ready for commands that take these groups.
pub(crate) fn ensure(groups: &[Group]) -> Result<()> {
    let mut apt = Apt::default();
    let missing = packages::missing(groups)?;
    if !missing.is_empty() {
        apt.install(&missing)?;
    }
    if groups.contains(&Group::Guest) {
        guest::ensure(&mut apt)?;
    }
    if groups.contains(&Group::Lab) {
        node::ensure()?;
        python::ensure()?;
    }
    Ok(())
}
