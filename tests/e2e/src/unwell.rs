//! Backends in bad order, and what watches them.

use std::{
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr},
};

use anyhow::Result;
use dispa_lab::TcpServer;

/// Probes of a second, by a request, with verdicts after two; no ejections for failures in a row.
pub const PROBES: &str = "[targets.health_check]
interval = 1
timeout = 1
healthy_threshold = 2
unhealthy_threshold = 2
path = \"/health\"
expected_status = 200
max_failures = 0";

/// Where nobody listens.
#[must_use]
pub fn nobody() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 3999))
}

/// Takes a head, says nothing and breaks off.
pub fn breaks_off(address: SocketAddr) -> Result<TcpServer> {
    TcpServer::start(&[address], |connection| {
        let lines = BufReader::new(&*connection.stream).lines();
        lines.map_while(Result::ok).find(String::is_empty);
        Ok(())
    })
}
