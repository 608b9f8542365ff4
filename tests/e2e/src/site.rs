//! A site on two addresses, three backends for it, and a cgroup whose programs are intercepted.

use std::{
    ffi::OsStr,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use dispa_lab::{Cgroup, Config, Dispa, DnsServer, Finished, HttpServer, Lab, run};

use crate::Script;

/// Far more than any client here takes, on a machine busy with other tests.
const CLIENT_TIMEOUT: Duration = Duration::from_mins(1);

/// The site that most tests intercept. Its own server answers `original`, its backends `one`,
/// `two` and `three`.
#[derive(Debug)]
pub struct Site<'lab> {
    /// Where it stands.
    pub lab: &'lab Lab,
    /// Whose programs are intercepted.
    pub cgroup: Cgroup,
    /// Knows the site's names; a test may add more.
    pub dns: DnsServer,
    /// What the site's addresses lead to without dispa, on port 80.
    pub original: HttpServer,
    /// Where dispa leads to instead.
    pub backends: [HttpServer; 3],
}

impl<'lab> Site<'lab> {
    /// A name with both addresses.
    pub const NAME: &'static str = "example.com";
    /// A name with the IPv4 address only.
    pub const NAME4: &'static str = "four.example.com";
    /// A name with the IPv6 address only.
    pub const NAME6: &'static str = "six.example.com";
    /// A name that leads straight to the explicit door, as an ordinary proxy's would.
    pub const DOOR: &'static str = "door.test";
    /// What the URL of an origin behind dispa begins with: at the transparent door, and at the
    /// explicit one.
    pub const WAYS: [&'static str; 2] = ["http://example.com", "http://door.test:8080"];
    /// The site's IPv4 address.
    pub const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10));
    /// The site's IPv6 address.
    pub const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x10, 0, 0, 0, 0, 0x10));

    /// Puts the site up in `lab`; no daemon runs yet.
    pub fn new(lab: &'lab Lab) -> Result<Self> {
        lab.address(Self::V4)?;
        lab.address(Self::V6)?;
        let dns = DnsServer::start()?;
        dns.set(Self::NAME, &[Self::V4, Self::V6], 60);
        dns.set(Self::NAME4, &[Self::V4], 60);
        dns.set(Self::NAME6, &[Self::V6], 60);
        dns.set(Self::DOOR, &[Ipv4Addr::LOCALHOST.into()], 60);
        Ok(Self {
            lab,
            cgroup: Cgroup::new()?,
            dns,
            original: HttpServer::start(
                "original",
                &[(Self::V4, 80).into(), (Self::V6, 80).into()],
            )?,
            backends: [
                HttpServer::start("one", &[Self::backend(1)])?,
                HttpServer::start("two", &[Self::backend(2)])?,
                HttpServer::start("three", &[Self::backend(3)])?,
            ],
        })
    }

    /// The address of backend 1, 2 or 3.
    #[must_use]
    pub fn backend(number: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 3000 + number))
    }

    /// A configuration that intercepts the site's three names, and has the three backends.
    #[must_use]
    pub fn config() -> Config {
        Config::new(&[Self::NAME, Self::NAME4, Self::NAME6])
            .target("one", Self::backend(1))
            .target("two", Self::backend(2))
            .target("three", Self::backend(3))
    }

    /// A configuration like it, with backend 1 only.
    #[must_use]
    pub fn config_of_one() -> Config {
        Config::new(&[Self::NAME, Self::NAME4, Self::NAME6]).target("one", Self::backend(1))
    }

    /// A configuration with one target, `origin`, behind both [`Site::WAYS`].
    #[must_use]
    pub fn config_of(origin: SocketAddr) -> Config {
        Config::new(&[Self::NAME, Self::DOOR]).target("origin", origin)
    }

    /// Starts a daemon that intercepts the site's cgroup.
    pub fn dispa(&self, config: &Config) -> Result<Dispa> {
        Dispa::start(self.lab, &self.cgroup, config)
    }

    /// Runs a program inside the cgroup; returns its output if it succeeds.
    pub fn client(&self, program: &str, arguments: &[&str]) -> Result<String> {
        run(self.cgroup.command(program).args(arguments), CLIENT_TIMEOUT)?.success()
    }

    /// Runs `curl` inside the cgroup; returns the body if the status is no error.
    pub fn curl(&self, arguments: &[&str]) -> Result<String> {
        self.client("curl", &[&["-sSf", "--max-time", "30"], arguments].concat())
    }

    /// Runs a Python script inside the cgroup.
    pub fn python(&self, script: &str, arguments: &[&str]) -> Result<String> {
        self.client("python3", &[&["-c", script], arguments].concat())
    }

    /// Runs a script inside the cgroup; returns its output if it succeeds.
    pub fn script(&self, script: Script, arguments: &[&str]) -> Result<String> {
        run(script.command_in(&self.cgroup)?.args(arguments), CLIENT_TIMEOUT)?.success()
    }

    /// How many requests each backend has seen.
    #[must_use]
    pub fn shares(&self) -> [usize; 3] {
        self.backends.each_ref().map(HttpServer::requests)
    }

    /// Whether `body` is one that a backend answers with.
    #[must_use]
    pub fn is_backend(&self, body: &str) -> bool {
        self.backends.iter().any(|backend| backend.name() == body)
    }
}

/// Runs a program outside every cgroup of the lab: what it sees is the truth.
pub fn direct(program: impl AsRef<OsStr>, arguments: &[&str]) -> Result<Finished> {
    run(Command::new(program).args(arguments), CLIENT_TIMEOUT).context("direct")
}
