//! Names without number: two whole networks of addresses, the server they all lead to, and the
//! backend that dispa is to put in its place.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::Result;

use crate::{
    cgroup::Cgroup,
    config::Config,
    dispa::Dispa,
    http::HttpServer,
    lab::{Lab, ip},
    process::run,
};

/// Far more than any client here takes, on a machine busy with other tests.
const CLIENT_TIMEOUT: Duration = Duration::from_mins(2);

/// Every address of two networks answers `original` on port 80; the backend answers `backend`.
#[derive(Debug)]
pub struct Wild<'lab> {
    /// Where it all is.
    pub lab: &'lab Lab,
    /// Whose programs are intercepted.
    pub cgroup: Cgroup,
    /// What any address leads to without dispa.
    pub original: HttpServer,
    /// Where dispa leads to instead.
    pub backend: HttpServer,
}

impl<'lab> Wild<'lab> {
    /// Where the backend is.
    pub const BACKEND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3001);
    /// What is intercepted.
    pub const PATTERN: &'static str = "*.wild.test";

    /// Puts it all up in `lab`; no daemon and no resolver runs yet.
    pub fn new(lab: &'lab Lab) -> Result<Self> {
        ip("route add local 198.18.0.0/16 dev lo")?;
        ip("-6 route add local 2001:db8:18::/64 dev lo")?;
        let everywhere = [(Ipv4Addr::UNSPECIFIED, 80).into(), (Ipv6Addr::UNSPECIFIED, 80).into()];
        Ok(Self {
            lab,
            cgroup: Cgroup::new()?,
            original: HttpServer::start("original", &everywhere)?,
            backend: HttpServer::start("backend", &[Self::BACKEND])?,
        })
    }

    /// The address of this number, out of 65,536.
    #[must_use]
    pub const fn v4(number: u16) -> IpAddr {
        let [high, low] = number.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(198, 18, high, low))
    }

    /// The address of this number, out of more than can be counted.
    #[must_use]
    pub const fn v6(number: u16) -> IpAddr {
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x18, 0, 0, 0, 0, number))
    }

    /// A configuration that intercepts the pattern.
    #[must_use]
    pub fn config() -> Config {
        Config::new(&[Self::PATTERN]).target("backend", Self::BACKEND)
    }

    /// Starts a daemon that intercepts the pattern.
    pub fn dispa(&self) -> Result<Dispa> {
        Dispa::start(self.lab, &self.cgroup, &Self::config())
    }

    /// Runs a program inside the cgroup; returns its output if it succeeds.
    pub fn client(&self, program: &str, arguments: &[&str]) -> Result<String> {
        run(self.cgroup.command(program).args(arguments), CLIENT_TIMEOUT)?.success()
    }

    /// Runs `curl` inside the cgroup; returns the body if the status is no error.
    pub fn curl(&self, arguments: &[&str]) -> Result<String> {
        self.client("curl", &[&["-sSf", "--max-time", "30"], arguments].concat())
    }

    /// Who answers a request for `host` at `address`, which nobody is asked for.
    pub fn curl_at(&self, host: &str, address: IpAddr) -> Result<String> {
        let address = SocketAddr::new(address, 80);
        self.curl(&["-H", &format!("Host: {host}"), &format!("http://{address}/")])
    }

    /// Lets the lab's processes ask these resolvers, in this order.
    pub fn resolvers(&self, addresses: &[IpAddr]) -> Result<()> {
        let lines = addresses.iter().map(|address| format!("nameserver {address}\n"));
        let text = lines.collect::<String>() + "options timeout:2 attempts:2\n";
        self.lab.file("resolv.conf", &text).map(drop)
    }
}
