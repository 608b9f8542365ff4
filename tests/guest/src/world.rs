//! The names and addresses of the small world inside the machine.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// The intercepted domain.
pub(crate) const SITE: &str = "example.com";
/// Another domain on the same addresses, which nobody intercepts.
pub(crate) const NEIGHBOUR: &str = "other.example";
/// What both domains' addresses answer without the daemon.
pub(crate) const ORIGINAL: &str = "original";
/// What the daemon's backend answers.
pub(crate) const BACKEND: &str = "backend";

/// The site's IPv4 address (TEST-NET-3, RFC 5737).
pub(crate) const SITE4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// The site's IPv6 address (RFC 3849).
pub(crate) const SITE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
/// The site's port.
pub(crate) const HTTP: u16 = 80;
/// Where the backend listens.
pub(crate) const BACKEND_PORT: u16 = 3001;
/// Where the daemon's explicit door is.
pub(crate) const EXPLICIT_PORT: u16 = 8080;

/// The file of the daemon's configuration.
pub(crate) const CONFIG: &str = "/etc/dispa.toml";
/// The daemon.
pub(crate) const DISPA: &str = "/bin/dispa";

/// What [`CONFIG`] holds. The programs are attached where they are unless told otherwise, at the
/// root of the cgroups: here, unlike on the machine of a developer, that hurts nobody.
pub(crate) fn config() -> String {
    format!(
        r#"[server]
bind_address = "{}"
[domains]
intercept_domains = ["{SITE}"]
[[targets.targets]]
name = "{BACKEND}"
url = "http://{}"
"#,
        local(EXPLICIT_PORT),
        local(BACKEND_PORT)
    )
}

/// What `/etc/resolv.conf` holds: nobody answers there, so all that is known is in `/etc/hosts`.
pub(crate) const RESOLVER: &str = "nameserver 127.0.0.1\n";

/// What `/etc/hosts` holds; the daemon learns the site's addresses from it.
pub(crate) fn hosts() -> String {
    format!("127.0.0.1 localhost\n{SITE4} {SITE} {NEIGHBOUR}\n{SITE6} {SITE} {NEIGHBOUR}\n")
}

/// A port of this machine's own.
pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
