//! `[admin]`: where the daemon answers questions about itself.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use super::monitoring::MonitoringPort;
use super::section::Section;
use super::value::{Reading, Value, list, parsed};
use crate::types::HostName;

/// Where it is unless the configuration says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/dispa/dispa.sock";
/// What a socket's address holds, less its final NUL (`sun_path`, unix(7)).
const MAX_SOCKET_BYTES: usize = 107;

/// Where the page is.
const PAGE_PORT: u16 = 9080;
/// What opens it.
const TOKEN_FILE: &str = "/var/lib/dispa/token";
/// By which names this host is called on itself.
const LOCAL_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Where the daemon answers questions about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// The file of its unix socket, an absolute path; none if it has no such socket.
    pub socket: Option<PathBuf>,
    /// The page that shows what goes on.
    pub page: Page,
}

/// The page that shows what goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Where it is; `None` for no page.
    pub port: Option<MonitoringPort>,
    /// The file of the token that opens it, an absolute path.
    pub token_file: PathBuf,
    /// The hosts it may be asked for by, besides its address: another one is a stranger's name that was
    /// made to lead here.
    pub allowed_hosts: Vec<HostName>,
}

impl Admin {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            socket: section.key_or("socket", socket, Some(DEFAULT_SOCKET.into())),
            page: Page::read(section),
        }
    }
}

impl Page {
    fn read(section: &mut Section<'_>) -> Self {
        let written = section.key("address", address);
        let required = written.is_some();
        let default = || Some((Ipv4Addr::LOCALHOST, PAGE_PORT).into());
        let port = |address| MonitoringPort { address, required, key: "admin.address" };
        let local = LOCAL_HOSTS.iter().filter_map(|host| HostName::parse(host).ok());
        Self {
            port: written.unwrap_or_else(default).map(port),
            token_file: section.key_or("token_file", token_file, TOKEN_FILE.into()),
            allowed_hosts: section.key_or("allowed_hosts", list(host), local.collect()),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.port.map(|port| port.address)
    }
}

fn address(value: &Value<'_>) -> Reading<Option<SocketAddr>> {
    let parse = |text: &str| match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| "not an IP address and a port"),
    };
    parsed(parse, "write them as \"127.0.0.1:9080\" or \"[::1]:9080\", or \"\" for no page")(value)
}

fn token_file(value: &Value<'_>) -> Reading<PathBuf> {
    let parse = |text: &str| {
        if !text.starts_with('/') || text.ends_with('/') || text.contains('\0') {
            return Err("not the absolute path of a file");
        }
        Ok(text.into())
    };
    parsed(parse, "write a path such as \"/var/lib/dispa/token\"")(value)
}

fn host(value: &Value<'_>) -> Reading<HostName> {
    parsed(HostName::parse, "write a host without a port, such as \"proxy.example.com\"")(value)
}

fn socket(value: &Value<'_>) -> Reading<Option<PathBuf>> {
    let parse = |text: &str| match text {
        "" => Ok(None),
        path if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') => {
            Err("not the absolute path of a file".to_owned())
        }
        path if path.len() > MAX_SOCKET_BYTES => Err(format!(
            "a socket's path has at most {MAX_SOCKET_BYTES} bytes, this one has {}",
            path.len()
        )),
        path => Ok(Some(path.into())),
    };
    parsed(parse, "write a path such as \"/run/dispa/dispa.sock\", or \"\" for no socket")(value)
}
