//! Installing Debian packages, without a thing started or enabled by it.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::no_services::NoServices;
use super::packages::Missing;
use crate::failure::{self, NoPermission};
use crate::shell;

/// Packages that would start a service at every boot, which the lab starts itself.
const SERVICES: [(&str, &str); 5] = [
    ("nginx-light", "nginx"),
    ("unbound", "unbound"),
    ("haproxy", "haproxy"),
    ("prometheus", "prometheus"),
    ("postgresql-15", "postgresql"),
];

/// apt, with its lists fetched at most once.
#[derive(Debug, Default)]
pub(crate) struct Apt {
    updated: bool,
}

impl Apt {
    /// Installs what is missing, or says how to where we may not.
    pub(crate) fn install(&mut self, missing: &[Missing]) -> Result<()> {
        let packages: Vec<_> = missing.iter().flat_map(|it| &it.packages).copied().collect();
        require_apt(&packages)?;
        self.update()?;
        for bundle in missing {
            shell::step(&format!("install {}", bundle.packages.join(" ")), bundle.why);
        }
        let quiet = NoServices::new().context("cannot keep new services from starting")?;
        let mut command = apt_get("install");
        shell::run(command.args(["--yes", "--no-install-recommends"]).args(&packages))?;
        drop(quiet);
        disable_services(&packages)
    }

    /// Fetches the package lists, unless that was done already or is not for us to do.
    pub(crate) fn update(&mut self) -> Result<()> {
        if self.updated || !failure::is_root()? {
            return Ok(());
        }
        shell::step("update apt's lists", "something is to be fetched");
        shell::run(apt_get("update").arg("--quiet"))?;
        self.updated = true;
        Ok(())
    }
}

/// Downloads a package's archive into a directory, without installing it.
pub(crate) fn download(package: &str, directory: &Path) -> Result<()> {
    let mut command = apt_get("download");
    // apt's own user may not write below a home directory; it would say so at length.
    command.args(["--quiet", "--option", "APT::Sandbox::User=root", package]);
    shell::run(command.current_dir(directory))
}

fn require_apt(packages: &[&str]) -> Result<()> {
    let packages = packages.join(" ");
    if shell::on_path("apt-get").is_none() {
        bail!("there is no apt-get here; install what these are in Debian 12: {packages}");
    }
    if !failure::is_root()? {
        bail!(NoPermission(format!(
            "packages are missing; run: \
             sudo apt-get update && sudo apt-get install --no-install-recommends {packages}"
        )));
    }
    Ok(())
}

fn apt_get(action: &str) -> Command {
    let mut command = Command::new("apt-get");
    command.arg(action).env("DEBIAN_FRONTEND", "noninteractive").env("PATH", administrators_path());
    command
}

/// Our PATH with the directories a plain `su` leaves out and dpkg insists on.
fn administrators_path() -> String {
    let path = env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/local/sbin:/usr/sbin:/sbin")
}

fn disable_services(packages: &[&str]) -> Result<()> {
    for (package, service) in SERVICES {
        if packages.contains(&package) {
            shell::step(&format!("disable the service {service}"), "only the lab runs it");
            let mut command = Command::new("update-rc.d");
            shell::run(command.args([service, "disable"]).env("PATH", administrators_path()))?;
        }
    }
    Ok(())
}
