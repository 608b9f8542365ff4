//! The DNS server as the C library sees it.

use std::{
    net::{IpAddr, Ipv4Addr},
    process::Command,
    time::Duration,
};

use anyhow::Result;

use super::DnsServer;
use crate::{
    lab::Lab,
    process::{Finished, run},
};

const SOON: Duration = Duration::from_secs(20);

/// Asks the way every program does: through the C library and the lab's own `/etc/resolv.conf`.
fn lookup(database: &str, name: &str) -> Result<Finished> {
    run(Command::new("getent").args([database, name]), SOON)
}

fn addresses(database: &str, name: &str) -> Result<Vec<String>> {
    let found = lookup(database, name)?.success()?;
    let streams = found.lines().filter(|line| line.contains("STREAM"));
    Ok(streams.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

#[test]
fn names_resolve_to_what_the_table_says_now() -> Result<()> {
    Lab::run(|lab| {
        let dns = DnsServer::start()?;
        let (v4, v6): (IpAddr, IpAddr) = ("198.51.100.10".parse()?, "2001:db8:10::10".parse()?);
        // Many programs ask for AAAA only where there is an address other than ::1.
        lab.address(v6)?;
        dns.set("Example.com", &[v4, v6], 60);
        assert_eq!(addresses("ahostsv4", "example.COM")?, ["198.51.100.10"]);
        assert_eq!(addresses("ahostsv6", "example.com")?, ["2001:db8:10::10"]);
        assert!(dns.questions("example.com") >= 2);

        dns.set("example.com", &["198.51.100.11".parse()?], 60);
        assert_eq!(addresses("ahostsv4", "example.com")?, ["198.51.100.11"]);
        Ok(())
    })
}

#[test]
fn other_names_and_other_types_are_not_found() -> Result<()> {
    Lab::run(|_| {
        let dns = DnsServer::start()?;
        dns.set("six.example.com", &["2001:db8:10::10".parse()?], 60);
        // getent: 2 is "not found".
        lookup("ahostsv4", "six.example.com")?.failure(2)?;
        lookup("ahostsv4", "other.example.com")?.failure(2)?;
        Ok(())
    })
}

#[test]
fn an_answer_too_long_for_a_datagram_comes_over_tcp() -> Result<()> {
    Lab::run(|_| {
        let dns = DnsServer::start()?;
        let many: Vec<IpAddr> = (1..=100).map(|n| Ipv4Addr::new(198, 51, 100, n).into()).collect();
        dns.set("many.example.com", &many, 60);
        assert_eq!(addresses("ahostsv4", "many.example.com")?.len(), 100);
        Ok(())
    })
}
