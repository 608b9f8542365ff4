//! Daemons whose configuration says more than [`Config`] knows.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::Result;

use crate::{cgroup::Cgroup, config::Config, dispa::Dispa, lab::Lab, scratch::unique_name};

impl Dispa {
    /// [`Dispa::start`] with the text of the file changed by `edit`.
    ///
    /// The daemon is started through a script that puts the edited file in the place of the other
    /// and becomes the daemon, so that it has the script's process id.
    pub fn start_edited(
        lab: &Lab,
        cgroup: &Cgroup,
        config: &Config,
        edit: impl FnOnce(String) -> String,
    ) -> Result<Self> {
        let name = unique_name();
        let file = lab.file(&format!("{name}.toml"), &edit(config.text(cgroup.path())))?;
        let script = script(&Self::binary()?, &file);
        let script = lab.file(&format!("{name}.sh"), &script)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700))?;
        Self::start_binary(&script, lab, cgroup, config)
    }
}

/// The daemon is called as `dispa -c FILE ...`.
fn script(binary: &Path, file: &Path) -> String {
    format!("#!/bin/sh\nshift 2\nexec '{}' -c '{}' \"$@\"\n", binary.display(), file.display())
}
