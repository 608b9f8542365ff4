//! What every package holds besides the program, and what its files are made of.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::stage::Stage;

/// The shells whose completions are shipped.
const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];
const DOCS: [&str; 4] = ["configuration.md", "install.md", "operations.md", "troubleshooting.md"];
const EXAMPLES: [&str; 2] = ["dispa.toml", "minimal.toml"];
const MONITORING: [&str; 2] = ["alerts.yml", "grafana-dashboard.json"];

/// Where these things go, from the top of a package.
pub(super) struct Places {
    pub(super) manual: &'static str,
    /// For each of [`SHELLS`], the file.
    pub(super) completions: [&'static str; 3],
    pub(super) docs: &'static str,
    pub(super) examples: &'static str,
    pub(super) monitoring: &'static str,
}

/// Puts them there. `dispa` is asked for its manual and completions.
pub(super) fn put(stage: &Stage, dispa: &Path, places: &Places) -> Result<()> {
    let mut manual = Command::new(dispa);
    manual.args(["man", "--all-into"]).arg(stage.directory(places.manual)?);
    crate::shell::run(&mut manual)?;
    for (shell, file) in SHELLS.iter().zip(places.completions) {
        stage.output(Command::new(dispa).args(["completion", shell]), file)?;
    }
    copy_all(stage, &DOCS, "docs", places.docs)?;
    copy_all(stage, &EXAMPLES, "config", places.examples)?;
    copy_all(stage, &MONITORING, "config", places.monitoring)?;
    stage.copy("CHANGELOG.md", &format!("{}/CHANGELOG.md", places.docs))
}

fn copy_all(stage: &Stage, names: &[&str], from: &str, to: &str) -> Result<()> {
    names.iter().try_for_each(|name| stage.copy(&format!("{from}/{name}"), &format!("{to}/{name}")))
}
