//! Backends in bad order, alone and beside a good one: what their clients see of it.

mod cut;
mod http2;
mod lossy;
mod reuse;
mod silent;
mod uploads;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where a second backend is, or nobody.
const OTHER: SocketAddr = local(3012);

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Nothing takes a backend out of use.
const NO_VERDICTS: &str = "[targets.health_check]\nenabled = false\nmax_failures = 0";
