//! `ci`: the whole of `test`, and what only a release depends on.

use anyhow::Result;

use crate::{checks, ebpf, fuzz, setup, test, tidy};

/// Runs every check there is, cheap things first.
pub(crate) fn ci() -> Result<()> {
    test::require_root()?;
    checks::format()?;
    tidy::tidy()?;
    setup::ensure(setup::ALL)?;
    ebpf::build()?;
    checks::clippy()?;
    checks::docs()?;
    checks::dependencies()?;
    test::run(&[])?;
    fuzz::fuzz(fuzz::SECONDS)
}
