//! The Debian package: a tree, scripts, and what dpkg wants to know of them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::contents::{self, Places};
use super::stage::Stage;
use super::{place, version_of};
use crate::shell;

const PROGRAM: &str = "usr/bin/dispa";
const CONFIGURATION: &str = "etc/dispa/dispa.toml";
/// Run by dpkg, in package/deb.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];
const ARCHITECTURE: &str = "amd64";
const MAINTAINER: &str = "The dispa authors <dispa@users.noreply.github.com>";

const PLACES: Places = Places {
    manual: "usr/share/man/man1",
    completions: [
        "usr/share/bash-completion/completions/dispa",
        "usr/share/zsh/vendor-completions/_dispa",
        "usr/share/fish/vendor_completions.d/dispa.fish",
    ],
    docs: "usr/share/doc/dispa",
    examples: "usr/share/doc/dispa/examples",
    monitoring: "usr/share/dispa",
};

/// A package to be made.
#[derive(Debug)]
pub(crate) struct Deb<'a> {
    binary: &'a Path,
    version: String,
    compression: &'static str,
}

impl<'a> Deb<'a> {
    /// A package of this program, with its version.
    pub(crate) fn of(binary: &'a Path) -> Result<Self> {
        Ok(Self { binary, version: version_of(binary)?, compression: "-Zxz" })
    }

    /// The same program, said to be a later one.
    pub(crate) fn again(mut self) -> Self {
        self.version.push_str("+again");
        self
    }

    /// Quick to make and to unpack, for trying.
    pub(crate) fn uncompressed(self) -> Self {
        Self { compression: "-Znone", ..self }
    }

    /// Makes the package, and says where it is.
    pub(crate) fn build(&self) -> Result<PathBuf> {
        let stage = Stage::new(place("deb"))?;
        self.fill(&stage)?;
        self.describe(&stage)?;
        let archive = place(&format!("dispa_{}_{ARCHITECTURE}.deb", self.version));
        let mut build = Command::new("dpkg-deb");
        build
            .args(["--root-owner-group", self.compression, "--build"])
            .arg(stage.root())
            .arg(&archive);
        shell::step(&format!("build {}", archive.display()), "the Debian package");
        shell::run(&mut build)?;
        Ok(archive)
    }

    fn fill(&self, stage: &Stage) -> Result<()> {
        stage.copy_program(self.binary, PROGRAM)?;
        stage.strip(PROGRAM)?;
        stage.copy("config/service.toml", CONFIGURATION)?;
        stage.copy("config/dispa.service", "lib/systemd/system/dispa.service")?;
        stage.copy("config/dispa.sysusers", "usr/lib/sysusers.d/dispa.conf")?;
        stage.copy("config/dispa.tmpfiles", "usr/lib/tmpfiles.d/dispa.conf")?;
        stage.copy("package/deb/lintian-overrides", "usr/share/lintian/overrides/dispa")?;
        contents::put(stage, self.binary, &PLACES)?;
        stage.copy("package/deb/copyright", "usr/share/doc/dispa/copyright")?;
        stage.write("usr/share/doc/dispa/changelog", self.changelog()?.as_bytes())?;
        stage.gzip("usr/share/doc/dispa/changelog")?;
        let pages = stage.files(PLACES.manual)?;
        pages.iter().try_for_each(|page| stage.gzip(page))
    }

    fn describe(&self, stage: &Stage) -> Result<()> {
        stage.write("DEBIAN/conffiles", format!("/{CONFIGURATION}\n").as_bytes())?;
        stage.write("DEBIAN/md5sums", sums(stage)?.as_bytes())?;
        for script in SCRIPTS {
            let source = crate::workspace::path("package/deb").join(script);
            stage.copy_program(&source, &format!("DEBIAN/{script}"))?;
        }
        stage.write("DEBIAN/control", self.control(stage)?.as_bytes())
    }

    fn control(&self, stage: &Stage) -> Result<String> {
        let size: u64 = stage.files("")?.iter().map(|name| size(stage, name)).sum::<Result<_>>()?;
        Ok(format!(
            "Package: dispa\n\
             Version: {version}\n\
             Architecture: {ARCHITECTURE}\n\
             Maintainer: {MAINTAINER}\n\
             Section: net\n\
             Priority: optional\n\
             Installed-Size: {kib}\n\
             Depends: {libraries}, systemd | systemd-standalone-sysusers\n\
             Pre-Depends: init-system-helpers (>= 1.54~)\n\
             Suggests: prometheus, grafana\n\
             Description: transparent interception proxy, steered by eBPF\n \
             Programs that connect to the domains you name are answered by the backends you\n \
             choose: a kernel program at connect() does the redirecting. No proxy variables,\n \
             no iptables rules and no changed DNS are needed, and where dispa is stopped or\n \
             killed connections go where they would have gone without it.\n \
             .\n \
             As installed, the service runs and intercepts nothing.\n",
            version = self.version,
            kib = size.div_ceil(1024),
            libraries = libraries(stage)?,
        ))
    }

    /// dpkg's form, which asks for a date; the one of the last commit, for it is the same each time.
    fn changelog(&self) -> Result<String> {
        let mut log = Command::new("git");
        log.args(["log", "-1", "--format=%cD"]).current_dir(crate::workspace::root());
        let date = shell::output(&mut log)?;
        Ok(format!(
            "dispa ({}) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- {MAINTAINER}  {date}",
            self.version
        ))
    }
}

/// The packages of the libraries that the program is linked with, as dpkg-shlibdeps finds them.
fn libraries(stage: &Stage) -> Result<String> {
    // It wants to be in a source package.
    let source = Stage::new(place("source"))?;
    source.write("debian/control", b"Source: dispa\n\nPackage: dispa\nArchitecture: any\n")?;
    let mut command = Command::new("dpkg-shlibdeps");
    command.arg("-O").arg(stage.root().join(PROGRAM)).current_dir(source.root());
    let said = shell::output(&mut command)?;
    let found = said.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    Ok(found.context("dpkg-shlibdeps found no libraries")?.to_owned())
}

fn sums(stage: &Stage) -> Result<String> {
    let mut sums = String::new();
    for name in stage.files("")?.iter().filter(|it| !it.starts_with("DEBIAN/")) {
        let line = shell::output(Command::new("md5sum").arg(name).current_dir(stage.root()))?;
        write!(sums, "{line}")?;
    }
    Ok(sums)
}

fn size(stage: &Stage, name: &str) -> Result<u64> {
    Ok(fs::metadata(stage.root().join(name))?.len())
}

/// Has Debian's own judge look at it.
pub(super) fn check(archive: &Path) -> Result<()> {
    shell::step("check the package", "lintian, what is overridden has its reason");
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0"]);
    shell::run(lintian.arg(archive))
}
