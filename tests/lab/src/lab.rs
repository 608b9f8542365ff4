//! The namespaces a lab lives in, its addresses, and what its processes read from `/etc`.

use std::{
    net::{IpAddr, Ipv4Addr},
    panic,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use crate::{process::run, scratch::Scratch};

/// Far more than any administrative command takes.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(20);

/// A private network and mount namespace, with loopback up and a resolver of its own.
#[derive(Debug)]
pub struct Lab {
    scratch: Scratch,
}

impl Lab {
    /// Where the lab's processes look for a DNS server, and [`crate::DnsServer`] listens.
    pub const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53));

    /// Runs `body` on a fresh thread inside fresh namespaces, which every thread and process that
    /// it starts shares. They vanish with the last of these, also after a panic, which goes on.
    pub fn run<T: Send>(body: impl FnOnce(&Self) -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| body(&Self::enter()?));
            inside.join().unwrap_or_else(|cause| panic::resume_unwind(cause))
        })
    }

    /// Gives loopback one more address, IPv4 or IPv6.
    pub fn address(&self, address: impl Into<IpAddr>) -> Result<()> {
        match address.into() {
            IpAddr::V4(v4) => ip(&format!("addr add {v4}/32 dev lo")),
            // Without duplicate address detection it can be used at once.
            IpAddr::V6(v6) => ip(&format!("addr add {v6}/128 dev lo nodad")),
        }
    }

    /// Writes a file into the lab's own directory.
    pub fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        self.scratch.write(name, text)
    }

    /// The lab's own directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// Replaces the text of `/etc/hosts`, for the lab's processes only.
    pub fn hosts(&self, text: &str) -> Result<()> {
        self.file("hosts", text).map(drop)
    }

    fn enter() -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
            .context("the lab needs root, to make namespaces")?;
        mount_flags(Path::new("/"), Path::new("/"), MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
        // Where the daemon puts its socket: every lab has its own.
        mount(Some("lab"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>)
            .context("cannot mount over /run")?;
        ip("link set lo up")?;

        let lab = Self { scratch: Scratch::new()? };
        lab.address(Self::RESOLVER)?;
        lab.etc("hosts", "127.0.0.1 localhost\n::1 localhost\n")?;
        lab.etc("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")?;
        let resolver = Self::RESOLVER;
        lab.etc("resolv.conf", &format!("nameserver {resolver}\noptions timeout:2 attempts:2\n"))?;
        Ok(lab)
    }

    /// Lays a file of the lab over one of `/etc`, in the lab's mount namespace only.
    fn etc(&self, name: &str, text: &str) -> Result<()> {
        let ours = self.file(name, text)?;
        mount_flags(&ours, &Path::new("/etc").join(name), MsFlags::MS_BIND)
    }
}

/// Runs `ip` with these arguments, in the caller's namespace.
pub(crate) fn ip(arguments: &str) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(arguments.split_whitespace());
    run(&mut command, COMMAND_TIMEOUT)?.success().map(drop)
}

fn mount_flags(from: &Path, onto: &Path, flags: MsFlags) -> Result<()> {
    mount(Some(from), onto, None::<&str>, flags, None::<&str>)
        .with_context(|| format!("cannot mount over {}", onto.display()))
}

#[cfg(test)]
mod tests;
