//! Real resolvers, as Debian ships them: dnsmasq and unbound, each with a zone of a test's making.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr, UdpSocket},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{
    lab::Lab,
    poll::until,
    process::Process,
    wire::{Message, kind},
};

/// Reading a zone of ten thousand names takes well under a second.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long one look waits for an answer.
const LOOK: Duration = Duration::from_millis(100);

/// A running resolver; dropping it ends it.
#[derive(Debug)]
pub struct Resolver(Process);

impl Resolver {
    /// Starts dnsmasq on `addresses`. It knows `hosts`, lines as in `/etc/hosts`, and obeys `more`
    /// lines of configuration.
    pub fn dnsmasq(lab: &Lab, addresses: &[IpAddr], hosts: &str, more: &str) -> Result<Self> {
        let number = next();
        let hosts = lab.file(&format!("dnsmasq-{number}.hosts"), hosts)?;
        // It would give its privileges up, to one who cannot read our files.
        let mut text = format!(
            "user=root\nbind-interfaces\nno-resolv\nno-hosts\nno-poll\ncache-size=10000\n\
             dns-forward-max=10000\nlocal=/test/\nlog-facility=-\naddn-hosts={}\n{more}\n",
            hosts.display()
        );
        for address in addresses {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "listen-address={address}");
        }
        let file = lab.file(&format!("dnsmasq-{number}.conf"), &text)?;
        let mut command = Command::new("dnsmasq");
        command.arg("--keep-in-foreground").arg("--pid-file=").arg("-C").arg(file);
        Self::start(&mut command, addresses)
    }

    /// Starts unbound on `addresses`. Its zone `zone` has these records, written as in zone files,
    /// and it asks nobody about it.
    pub fn unbound(
        lab: &Lab,
        addresses: &[IpAddr],
        zone: &str,
        records: impl IntoIterator<Item = String>,
    ) -> Result<Self> {
        let mut text = String::from(
            "server:\n do-daemonize: no\n username: \"\"\n chroot: \"\"\n pidfile: \"\"\n\
             use-syslog: no\n logfile: \"\"\n module-config: \"iterator\"\n num-threads: 1\n\
             so-rcvbuf: 4m\n access-control: 0.0.0.0/0 allow\n access-control: ::/0 allow\n",
        );
        let directory = lab.directory().display();
        // Writing to a string cannot fail.
        let _ = writeln!(text, " directory: \"{directory}\"\n local-zone: \"{zone}.\" static");
        for address in addresses {
            let _ = writeln!(text, " interface: {address}");
        }
        for record in records {
            let _ = writeln!(text, " local-data: '{record}'");
        }
        text += "remote-control:\n control-enable: no\n";
        let file = lab.file(&format!("unbound-{}.conf", next()), &text)?;
        let mut command = Command::new("unbound");
        // Debian's own path for it is not everybody's.
        command.env("PATH", administrators_path()).arg("-d").arg("-c").arg(file);
        Self::start(&mut command, addresses)
    }

    fn start(command: &mut Command, addresses: &[IpAddr]) -> Result<Self> {
        command.env("PATH", administrators_path());
        let resolver = Self(Process::start(command)?);
        for address in addresses {
            let address = SocketAddr::new(*address, 53);
            until(READY_TIMEOUT, "the resolver's first answer", || answers(address).ok())
                .with_context(|| format!("{:?}", resolver.0.lines()))?;
        }
        Ok(resolver)
    }
}

/// Whether somebody answers there, whatever it is.
fn answers(address: SocketAddr) -> Result<()> {
    let any: IpAddr = if address.is_ipv6() { "::".parse()? } else { "0.0.0.0".parse()? };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(LOOK))?;
    socket.connect(address)?;
    socket.send(&Message::query(1, "ready.test", kind::A).into_bytes())?;
    Ok(socket.recv(&mut [0; 512]).map(drop)?)
}

/// Servers are in directories that not everybody looks into.
fn administrators_path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/local/sbin:/usr/sbin:/sbin")
}

fn next() -> u32 {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    COUNTER.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use std::net::ToSocketAddrs as _;

    use anyhow::Result;

    use super::Resolver;
    use crate::lab::Lab;

    #[test]
    fn both_answer_from_the_zone_they_are_given() -> Result<()> {
        Lab::run(|lab| {
            let expected = vec!["198.51.100.7:80".parse()?];
            let hosts = "198.51.100.7 a.wild.test\n";
            let dnsmasq = Resolver::dnsmasq(lab, &[Lab::RESOLVER], hosts, "")?;
            assert_eq!("a.wild.test:80".to_socket_addrs()?.collect::<Vec<_>>(), expected);
            drop(dnsmasq);
            let records = ["b.wild.test. 60 IN A 198.51.100.7".to_owned()];
            let _unbound = Resolver::unbound(lab, &[Lab::RESOLVER], "wild.test", records)?;
            assert_eq!("b.wild.test:80".to_socket_addrs()?.collect::<Vec<_>>(), expected);
            Ok(())
        })
    }
}
