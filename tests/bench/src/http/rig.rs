//! What all turns share: the backend, an origin for what is relayed, and a cgroup for the load.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Command,
    time::Duration,
};

use anyhow::Result;
use dispa_lab::{Cgroup, DnsServer, Lab, Process, until};

/// Where the proxy runs, and where everything else does.
pub(super) const PROXY_CORE: &str = "0";
pub(super) const OTHER_CORE: &str = "1";

/// What the proxies lead to.
pub(super) const BACKEND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8999);

/// The name that is intercepted, and one that is not.
pub(super) const HOST: &str = "bench.test";
pub(super) const OTHER_HOST: &str = "other.test";

/// Of the body that makes a bulk transfer.
pub(super) const BULK_BYTES: u64 = 10 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Rig<'lab> {
    pub(super) lab: &'lab Lab,
    /// Whose connections dispa intercepts: the load's.
    pub(super) cgroup: Cgroup,
    _backend: (Process, Cgroup),
    _dns: DnsServer,
}

impl<'lab> Rig<'lab> {
    /// An address of the intercepted name, where the backend listens too.
    pub(super) const ORIGIN: SocketAddr =
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10)), 80);

    pub(super) fn new(lab: &'lab Lab) -> Result<Self> {
        lab.address(Self::ORIGIN.ip())?;
        let dns = DnsServer::start()?;
        dns.set(HOST, &[Self::ORIGIN.ip()], 60);
        let backend = start_backend(lab)?;
        Ok(Self { lab, cgroup: Cgroup::new()?, _backend: backend, _dns: dns })
    }

    /// A command on the load's core, in the cgroup that dispa intercepts.
    pub(super) fn load(&self, program: &str) -> Command {
        let mut command = self.cgroup.command("taskset");
        command.args(["-c", OTHER_CORE, program]);
        command
    }
}

/// nginx, which answers 16 bytes from memory, or a file of 10 MiB.
fn start_backend(lab: &Lab) -> Result<(Process, Cgroup)> {
    let origin = Rig::ORIGIN;
    let directory = lab.directory().display();
    lab.file("bulk", &"0".repeat(usize::try_from(BULK_BYTES)?))?;
    let file = lab.file(
        "backend.conf",
        &format!(
            "daemon off; user root; worker_processes 1; pid {directory}/backend.pid; error_log {directory}/backend.err;
events {{ worker_connections 15000; }}
http {{
  access_log off; keepalive_requests 1000000000; sendfile on; client_body_temp_path {directory}/b;
  proxy_temp_path {directory}/p; fastcgi_temp_path {directory}/bf; uwsgi_temp_path {directory}/bu; scgi_temp_path {directory}/bs;
  server {{
    listen {BACKEND} backlog=4096; listen {origin} backlog=4096;
    location / {{ return 200 0123456789abcdef; }}
    location = /bulk {{ alias {directory}/bulk; }}
  }}
}}
"
        ),
    )?;
    let cgroup = Cgroup::new()?;
    let mut command = cgroup.command("taskset");
    command.args(["-c", OTHER_CORE, "nginx", "-c"]).arg(file);
    let process = Process::start(&mut command)?;
    until(Duration::from_secs(20), "the backend", || {
        std::net::TcpStream::connect(BACKEND).is_ok().then_some(())
    })?;
    Ok((process, cgroup))
}
