//! Brings the machine up from nothing, and down again.

use std::{fs, io, process::Command};

use anyhow::{Context as _, Result, ensure};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::{
        reboot::{RebootMode, reboot},
        termios::tcdrain,
    },
};

use crate::{cgroup, server, world};

/// What a booted system has mounted: kind and place.
const MOUNTS: [(&str, &str); 5] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/tmp"),
    ("cgroup2", "/sys/fs/cgroup"),
];

/// Mounts, files, and the network with its servers.
pub(crate) fn boot() -> Result<()> {
    for (kind, place) in MOUNTS {
        fs::create_dir_all(place)?;
        mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("cannot mount {place}"))?;
    }
    cgroup::create()?;
    fs::create_dir_all("/etc")?;
    fs::write("/etc/hosts", world::hosts())?;
    fs::write("/etc/resolv.conf", world::RESOLVER)?;
    fs::write(world::CONFIG, world::config())?;
    network()
}

/// Moves this process to a network namespace of its own, with the same addresses and servers.
pub(crate) fn leave_network() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
    network()
}

fn network() -> Result<()> {
    ip(&["link", "set", "lo", "up"])?;
    ip(&["address", "add", &format!("{}/32", world::SITE4), "dev", "lo"])?;
    ip(&["address", "add", &format!("{}/128", world::SITE6), "dev", "lo"])?;
    server::start(world::ORIGINAL, (world::SITE4, world::HTTP).into())?;
    server::start(world::ORIGINAL, (world::SITE6, world::HTTP).into())?;
    server::start(world::BACKEND, world::local(world::BACKEND_PORT))
}

fn ip(arguments: &[&str]) -> Result<()> {
    let status = Command::new("/bin/busybox").arg("ip").args(arguments).status()?;
    ensure!(status.success(), "ip {}: {status}", arguments.join(" "));
    Ok(())
}

/// Ends the machine: it is run by an emulator that ends instead of booting again.
pub(crate) fn power_off() {
    // Else the last lines may stay in the driver of the console; that there is none is no reason
    // to go on.
    let _ = tcdrain(io::stdout());
    let Err(error) = reboot(RebootMode::RB_AUTOBOOT);
    eprintln!("guest-init: cannot reboot: {error}");
}
