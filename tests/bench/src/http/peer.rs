//! The proxies, each as a user would set it up for speed.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use clap::ValueEnum;
use dispa_lab::{Cgroup, Dispa, Process};

use super::rig::{BACKEND, HOST, PROXY_CORE, Rig};

/// Longest that a proxy may take to answer its first request.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Peer {
    Nginx,
    Haproxy,
    Dispa,
}

/// A running one.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) process: Process,
    /// Its own: whatever it has started goes with it.
    _cgroup: Cgroup,
    /// From the command to the first answer.
    pub(super) start: Duration,
}

impl Peer {
    /// The one that the others are compared with comes first.
    pub(super) const ALL: [Self; 3] = [Self::Nginx, Self::Haproxy, Self::Dispa];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Dispa => "dispa",
        }
    }

    /// Where it serves HTTP/1.1.
    pub(super) const fn http(self) -> SocketAddr {
        self.door(0)
    }

    /// Where it serves HTTP/2 without TLS; dispa tells them apart itself.
    pub(super) const fn http2(self) -> SocketAddr {
        match self {
            Self::Dispa => self.door(0),
            Self::Nginx | Self::Haproxy => self.door(1),
        }
    }

    /// Where it relays bytes; dispa does so for whoever goes to an intercepted address with another
    /// name.
    pub(super) const fn relay(self) -> SocketAddr {
        match self {
            Self::Dispa => Rig::ORIGIN,
            Self::Nginx | Self::Haproxy => self.door(2),
        }
    }

    const fn door(self, number: u16) -> SocketAddr {
        let port = 9000 + 10 * self as u16 + number;
        SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
    }

    /// Starts it on its core and waits for its first answer.
    pub(super) fn start(self, rig: &Rig<'_>) -> Result<Running> {
        self.start_with(rig, "")
    }

    /// The same; `lines` come at the end of dispa's configuration, in `[logging]`.
    pub(super) fn start_with(self, rig: &Rig<'_>, lines: &str) -> Result<Running> {
        let cgroup = Cgroup::new()?;
        let mut command = cgroup.command("taskset");
        command.args(["-c", PROXY_CORE]);
        match self {
            Self::Nginx => {
                let file = rig.lab.file("nginx.conf", &self.nginx(rig.lab.directory()))?;
                command.arg("nginx").arg("-c").arg(file);
            }
            Self::Haproxy => {
                let file = rig.lab.file("haproxy.cfg", &self.haproxy())?;
                command.args(["haproxy", "-db", "-f"]).arg(file);
            }
            Self::Dispa => {
                let file = rig.lab.file("dispa.toml", &(self.dispa(rig.cgroup.path()) + lines))?;
                command.arg(Dispa::binary()?).arg("-c").arg(file);
            }
        }
        let began = Instant::now();
        let process = Process::start(&mut command)?;
        while !answers(self.http()) {
            ensure!(began.elapsed() < START_LIMIT, "{} does not answer", self.name());
        }
        Ok(Running { process, _cgroup: cgroup, start: began.elapsed() })
    }

    fn nginx(self, directory: &Path) -> String {
        let (http, http2, relay) = (self.http(), self.http2(), self.relay());
        let directory = directory.display();
        format!(
            "daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/nginx.err;
load_module modules/ngx_stream_module.so;
events {{ worker_connections 15000; }}
http {{
  access_log off; keepalive_requests 1000000000; client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  proxy_buffer_size 64k; proxy_buffers 64 64k; proxy_busy_buffers_size 256k; proxy_max_temp_file_size 0;
  upstream backend {{ server {BACKEND}; keepalive 256; keepalive_requests 1000000000; }}
  proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host;
  server {{ listen {http} backlog=4096; location / {{ proxy_pass http://backend; }} }}
  server {{ listen {http2} http2 backlog=4096; location / {{ proxy_pass http://backend; }} }}
}}
stream {{ server {{ listen {relay}; proxy_pass {BACKEND}; proxy_buffer_size 64k; }} }}
"
        )
    }

    fn haproxy(self) -> String {
        let (http, http2, relay) = (self.http(), self.http2(), self.relay());
        format!(
            "global
  nbthread 1
  maxconn 9400
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  http-reuse always
frontend http
  bind {http} backlog 4096
  default_backend backend
frontend http2
  bind {http2} proto h2
  default_backend backend
backend backend
  server one {BACKEND} pool-max-conn 256
listen relay
  mode tcp
  bind {relay}
  server one {BACKEND}
"
        )
    }

    /// Everything on but the log.
    fn dispa(self, cgroup: &Path) -> String {
        let (http, cgroup) = (self.http(), cgroup.display());
        format!(
            "[server]
bind_address = \"{http}\"
workers = 1
max_connections = 9200
[domains]
intercept_domains = [\"{HOST}\"]
[[targets.targets]]
name = \"backend\"
url = \"http://{BACKEND}\"
[intercept]
cgroup = \"{cgroup}\"
[admin]
socket = \"\"
address = \"\"
[logging]
level = \"error\"
"
        )
    }
}

fn answers(door: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(door) else { return false };
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    let mut answer = [0; 12];
    let asked = stream.set_read_timeout(Some(START_LIMIT)).is_ok()
        && stream.write_all(request.as_bytes()).is_ok()
        && stream.read_exact(&mut answer).is_ok();
    asked && answer == *b"HTTP/1.1 200"
}
