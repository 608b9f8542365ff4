//! The destination carries the identity: source ports are the program's own affair.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::Result;
use dispa_e2e::{Site, direct};
use dispa_lab::{Cgroup, Config, Connection, Dispa, DnsServer, Lab, TcpServer, run};

const FIXED_PORT: &str = include_str!("../clients/fixed_port.py");
const MANY_OPEN: &str = include_str!("../clients/many_open.py");

/// Names with ten addresses each, all on this network; returns the names and the addresses.
fn many_sites(lab: &Lab, dns: &DnsServer, count: u8) -> Result<(Vec<String>, Vec<IpAddr>)> {
    let addresses: Vec<IpAddr> = (1..=count).map(|n| IpAddr::from([203, 0, 113, n])).collect();
    let mut names = Vec::new();
    for (number, own) in addresses.chunks(10).enumerate() {
        let name = format!("site-{number}.test");
        dns.set(&name, own, 60);
        names.push(name);
    }
    addresses.iter().try_for_each(|address| lab.address(*address))?;
    Ok((names, addresses))
}

/// Nothing here is for a backend, but a configuration must name one.
fn config(names: &[String]) -> Config {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Config::new(&names).target("unused", Site::backend(1))
}

fn on_port_80(addresses: &[IpAddr]) -> Vec<SocketAddr> {
    addresses.iter().map(|address| SocketAddr::new(*address, 80)).collect()
}

/// Reads a line, tells which address it came to, and waits for the client's end.
fn tell_address(connection: &Connection) -> io::Result<()> {
    let mut reader = BufReader::new(&*connection.stream);
    reader.read_line(&mut String::new())?;
    writeln!(&*connection.stream, "{}", connection.local)?;
    reader.read_to_end(&mut Vec::new()).map(drop)
}

#[test]
fn a_hundred_thousand_connections_from_300_ports_to_50_destinations_all_arrive() -> Result<()> {
    Lab::run(|lab| {
        let (dns, cgroup) = (DnsServer::start()?, Cgroup::new()?);
        let (names, addresses) = many_sites(lab, &dns, 50)?;
        let destinations = on_port_80(&addresses);
        let origins = TcpServer::start(&destinations, tell_address)?;
        let dispa = Dispa::start(lab, &cgroup, &config(&names))?;

        let begun = Instant::now();
        let mut storm = cgroup.command(env!("CARGO_BIN_EXE_connect-storm"));
        storm.args(["100000", "10000", "300", "4"]);
        storm.args(destinations.iter().map(SocketAddr::to_string));
        let tally = run(&mut storm, Duration::from_mins(3))?.success()?;
        println!("{tally} in {:?}", begun.elapsed());
        assert_eq!(tally, "connections=100000 wrong_origin=0 wrong_peer=0 failed=0");
        assert_eq!(origins.accepted(), 100_000);

        let stopped = dispa.stop()?.summary;
        println!("{stopped:?}");
        assert_eq!(stopped.count("redirected_v4"), Some(100_000));
        assert_eq!(stopped.count("slots_held"), Some(0));
        // Each of the 50 addresses, on each of the two intercepted ports.
        assert_eq!(stopped.count("slots_in_use"), Some(100));
        Ok(())
    })
}

#[test]
fn one_source_port_reaches_two_intercepted_destinations_at_once() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let other: IpAddr = "198.51.100.11".parse()?;
        lab.address(other)?;
        site.dns.set(Site::NAME, &[Site::V4, other], 60);
        let _dispa = site.dispa(&Site::config_of_one())?;
        let (first, second) = (Site::V4.to_string(), other.to_string());
        let seen = site.python(FIXED_PORT, &["5555", Site::NAME, &first, &second])?;
        assert_eq!(seen, format!("5555 {first} one\n5555 {second} one"));
        Ok(())
    })
}

#[test]
fn a_thousand_connections_are_open_at_once_on_300_ephemeral_ports() -> Result<()> {
    Lab::run(|lab| {
        let (dns, cgroup) = (DnsServer::start()?, Cgroup::new()?);
        let (names, addresses) = many_sites(lab, &dns, 4)?;
        let origins = TcpServer::start(&on_port_80(&addresses), |connection| {
            writeln!(&*connection.stream, "{}", connection.local.ip())?;
            io::copy(&mut &*connection.stream, &mut &*connection.stream).map(drop)
        })?;
        let dispa = Dispa::start(lab, &cgroup, &config(&names))?;
        let range = "net.ipv4.ip_local_port_range=40000 40299";
        direct("sysctl", &["-w", range])?.success()?;

        let mut client = cgroup.command("python3");
        client.args(["-c", MANY_OPEN, "1000"]).args(addresses.iter().map(IpAddr::to_string));
        let seen = run(&mut client, Duration::from_mins(2))?.success()?;
        assert_eq!(seen, "open 1000 right 1000");
        assert_eq!(origins.accepted(), 1000);
        assert_eq!(dispa.stop()?.summary.count("redirected_v4"), Some(1000));
        Ok(())
    })
}
