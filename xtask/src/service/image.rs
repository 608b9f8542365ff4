//! The guest's disk: a Debian 12 with systemd and its own kernel, made once.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{shell, workspace};

/// Where the guest's files are kept.
pub(super) const PLACE: &str = "target/service";
/// What the Debian holds beside the essential packages.
const PACKAGES: &str = "systemd-sysv,dbus,udev,linux-image-cloud-amd64,init-system-helpers,bpftool,curl,\
                        iproute2,procps,python3";
const MIRRORS: [&str; 2] = [
    "deb http://deb.debian.org/debian bookworm main",
    "deb http://deb.debian.org/debian-security bookworm-security main",
];
/// What the first multi-user target starts: it fetches the errands from the second disk and runs them.
const UNIT: &str = include_str!("errands.service");
const UNIT_PLACE: &str = "etc/systemd/system/dispa-test.service";
const SIZE: u64 = 3 << 30;

/// What a machine boots with.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) kernel: PathBuf,
    pub(super) initrd: PathBuf,
    pub(super) disk: PathBuf,
}

/// Makes it, unless it is here as it would be made now.
pub(super) fn ensure() -> Result<Image> {
    let place = workspace::path(PLACE);
    let image = Image {
        kernel: place.join("vmlinuz"),
        initrd: place.join("initrd.img"),
        disk: place.join("disk.img"),
    };
    let stamp = place.join("made");
    let recipe = format!("{PACKAGES}\n{MIRRORS:?}\n{SIZE}\n{UNIT}");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == recipe) {
        return Ok(image);
    }
    let tree = place.join("tree");
    remove(&tree)?;
    fs::create_dir_all(&place)?;
    shell::step("gather a Debian 12 with systemd", "the guest's; takes some minutes, once");
    let mut gather = Command::new("mmdebstrap");
    gather.args(["--mode=root", "--variant=minbase", "--include", PACKAGES, "bookworm"]);
    shell::run(gather.arg(&tree).args(MIRRORS))?;
    image.make(&tree)?;
    remove(&tree)?;
    Ok(fs::write(stamp, recipe).map(|()| image)?)
}

impl Image {
    fn make(&self, tree: &Path) -> Result<()> {
        fs::write(tree.join(UNIT_PLACE), UNIT)?;
        let wanted = tree.join("etc/systemd/system/multi-user.target.wants");
        fs::create_dir_all(&wanted)?;
        symlink(Path::new("/").join(UNIT_PLACE), wanted.join("dispa-test.service"))?;
        fs::copy(tree.join("vmlinuz"), &self.kernel).context("the guest has no kernel")?;
        fs::copy(tree.join("initrd.img"), &self.initrd).context("the guest has no initrd")?;
        fs::File::create(&self.disk)?.set_len(SIZE)?;
        let mut format = Command::new("mkfs.ext4");
        format.args(["-q", "-F", "-d"]).arg(tree).arg(&self.disk);
        shell::run(&mut format)
    }
}

fn remove(tree: &Path) -> Result<()> {
    if tree.exists() {
        fs::remove_dir_all(tree)?;
    }
    Ok(())
}
