//! The first connection to a name nobody has ever asked for is caught, whoever makes it.

use std::{fmt::Write as _, net::IpAddr, time::Duration};

use anyhow::Result;
use dispa_e2e::direct;
use dispa_lab::{Client, Dispa, Lab, Resolver, Wild, run};

const FIRST_C: &str = include_str!("../clients/first.c");
const EACH_ADDRESS: &str = include_str!("../clients/each_address.py");

/// Fresh names, for each resolver.
const COUNT: u16 = 10_000;

/// Where a host's own resolver listens when systemd provides it.
const STUB: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 53));

/// Names and their addresses: some of their own, some shared with up to 150 others, some of either
/// family and some of both.
fn fresh_names(count: u16) -> impl Iterator<Item = (String, Vec<IpAddr>)> {
    (0..count).map(|number| {
        let addresses = match number % 8 {
            0 | 1 => vec![Wild::v4(0xf000 + number % 67)],
            2 => vec![Wild::v6(number)],
            3 => vec![Wild::v6(number), Wild::v4(number)],
            _ => vec![Wild::v4(number)],
        };
        (format!("n{number}.wild.test"), addresses)
    })
}

/// Resolves each of the names in the cgroup and connects to it at once.
fn connect_to_all(wild: &Wild<'_>, count: u16) -> Result<()> {
    let names = fresh_names(count).map(|(name, _)| name + "\n").collect::<String>();
    let file = wild.lab.file("names", &names)?;
    let dispa = wild.dispa()?;
    let mut client = wild.cgroup.command(env!("CARGO_BIN_EXE_first-connect"));
    let client = run(client.arg(file).args(["4", "backend"]), Duration::from_mins(3))?;
    let tally = client.success()?;
    println!("{tally}, {}", client.stderr().lines().last().unwrap_or_default());
    assert_eq!(tally, format!("names={count} served={count} missed=0 failed=0"));
    assert_eq!(wild.original.requests(), 0);

    let stopped = dispa.stop()?.summary;
    println!("{stopped:?}");
    assert_eq!(stopped.count("not_learned"), Some(0), "{stopped:?}");
    assert!(stopped.count("dns_v4") >= Some(count.into()), "{stopped:?}");
    Ok(())
}

#[test]
fn ten_thousand_fresh_names_from_dnsmasq_are_all_caught_at_their_first_connect() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        let mut hosts = String::new();
        for (name, addresses) in fresh_names(COUNT) {
            for address in addresses {
                writeln!(hosts, "{address} {name}")?;
            }
        }
        let _dnsmasq = Resolver::dnsmasq(lab, &[Lab::RESOLVER], &hosts, "")?;
        connect_to_all(&wild, COUNT)
    })
}

#[test]
fn ten_thousand_fresh_names_from_unbound_are_all_caught_at_their_first_connect() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        let mut records = Vec::new();
        for (name, addresses) in fresh_names(COUNT) {
            for address in addresses {
                let kind = if address.is_ipv4() { "A" } else { "AAAA" };
                records.push(format!("{name}. 60 IN {kind} {address}"));
            }
        }
        let _unbound = Resolver::unbound(lab, &[Lab::RESOLVER], "wild.test", records)?;
        connect_to_all(&wild, COUNT)
    })
}

/// dnsmasq, with an address for every name of the form `198-18-1-2.wild.test`.
fn synthetic(lab: &Lab, addresses: &[IpAddr]) -> Result<Resolver> {
    let more = "synth-domain=wild.test,198.18.0.0/16\nlocal-ttl=60";
    Resolver::dnsmasq(lab, addresses, "", more)
}

/// The name of that form for an address.
fn name_of(address: IpAddr) -> String {
    format!("{}.wild.test", address.to_string().replace('.', "-"))
}

#[test]
fn every_client_is_caught_at_its_first_connect_to_a_fresh_name() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        let _dnsmasq = synthetic(lab, &[Lab::RESOLVER])?;
        let dispa = wild.dispa()?;
        let mut number = 0;
        for client in Client::ALL {
            let count = if client == Client::Java { 4 } else { 12 };
            for _ in 0..count {
                number += 1;
                let name = name_of(Wild::v4(number));
                let body = client.fetch(lab, &wild.cgroup, &format!("http://{name}/"))?;
                assert_eq!(body, "backend", "{client:?} {name}");
            }
            println!("{client:?}: {count} of {count}");
        }
        assert_eq!(wild.original.requests(), 0);
        dispa.stop().map(drop)
    })
}

#[test]
fn a_static_musl_program_is_caught_at_its_first_connect() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        let _dnsmasq = synthetic(lab, &[Lab::RESOLVER, STUB])?;
        let source = lab.file("first.c", FIRST_C)?.display().to_string();
        let binary = lab.directory().join("first").display().to_string();
        direct("musl-gcc", &["-static", "-O1", "-Wall", "-o", &binary, &source])?.success()?;
        let _dispa = wild.dispa()?;
        // musl asks all its resolvers at once, from one socket that is not connected.
        for resolvers in [&[Lab::RESOLVER][..], &[STUB], &[Lab::RESOLVER, STUB]] {
            wild.resolvers(resolvers)?;
            let first = u16::try_from(wild.backend.requests())?;
            let names: Vec<_> = (first..first + 20).map(|next| name_of(Wild::v4(next))).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let bodies = wild.client(&binary, &names)?;
            assert_eq!(bodies, ["backend"; 20].join("\n"), "{resolvers:?}");
        }
        assert_eq!(wild.original.requests(), 0);
        Ok(())
    })
}

#[test]
fn what_dig_is_told_is_learned_over_udp_and_tcp_from_the_stub_too() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        let six: IpAddr = "2001:db8:53::53".parse()?;
        lab.address(six)?;
        let _dnsmasq = synthetic(lab, &[Lab::RESOLVER, STUB, six])?;
        let dispa = wild.dispa()?;
        let mut number = 0;
        for server in [Lab::RESOLVER, STUB, six] {
            let server = format!("@{server}");
            let ways: [&[&str]; 4] = [&[], &["+tcp"], &["+noedns"], &["+tcp", "+keepopen"]];
            for way in ways {
                number += 1;
                let address = Wild::v4(number);
                let name = name_of(address);
                let arguments = [&[&server, &name, "A", "+short"], way].concat();
                assert_eq!(wild.client("dig", &arguments)?, address.to_string(), "{arguments:?}");
                assert_eq!(wild.curl_at(&name, address)?, "backend", "{arguments:?}");
            }
        }
        assert_eq!(wild.original.requests(), 0);
        let stopped = dispa.stop()?.summary;
        println!("{stopped:?}");
        // Two of the four ways are datagrams, to two resolvers and to one.
        assert!(stopped.count("dns_v4") >= Some(4), "{stopped:?}");
        assert!(stopped.count("dns_v6") >= Some(2), "{stopped:?}");
        Ok(())
    })
}

/// A daemon, and dnsmasq with these hosts and this configuration.
fn with_hosts<'lab>(
    lab: &'lab Lab,
    hosts: &str,
    more: &str,
) -> Result<(Wild<'lab>, Resolver, Dispa)> {
    let wild = Wild::new(lab)?;
    let dnsmasq = Resolver::dnsmasq(lab, &[Lab::RESOLVER], hosts, more)?;
    let dispa = wild.dispa()?;
    Ok((wild, dnsmasq, dispa))
}

#[test]
fn a_chain_of_eight_aliases_ends_at_an_address_of_the_first_name() -> Result<()> {
    Lab::run(|lab| {
        let aliases = (1..=8).fold(String::new(), |mut text, link| {
            let from = if link == 1 { "chain.wild.test".to_owned() } else { alias(link - 1) };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "cname={from},{}", alias(link));
            text
        });
        let hosts = format!("{} {}\n", Wild::v4(1), alias(8));
        let (wild, _dnsmasq, dispa) = with_hosts(lab, &hosts, &aliases)?;
        let answer = wild.client("dig", &["+short", "chain.wild.test"])?;
        assert_eq!(answer.lines().count(), 9, "{answer}");
        assert_eq!(wild.curl(&["http://chain.wild.test/"])?, "backend");
        // The last name is not intercepted, though its address is.
        assert_eq!(wild.curl(&[&format!("http://{}/", alias(8))])?, "original");
        dispa.stop().map(drop)
    })
}

fn alias(link: u32) -> String {
    format!("link{link}.other.test")
}

#[test]
fn twenty_rotating_addresses_are_all_caught() -> Result<()> {
    Lab::run(|lab| {
        let hosts = (1..=20).fold(String::new(), |mut text, number| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{} many.wild.test", Wild::v4(number));
            text
        });
        let (wild, _dnsmasq, dispa) = with_hosts(lab, &hosts, "")?;
        for _ in 0..5 {
            let answers = wild.client("python3", &["-c", EACH_ADDRESS, "many.wild.test"])?;
            assert_eq!(answers, "backend 20");
        }
        for _ in 0..20 {
            assert_eq!(wild.curl(&["http://many.wild.test/"])?, "backend");
        }
        dispa.stop().map(drop)
    })
}

#[test]
fn an_answer_good_for_no_time_at_all_is_good_for_the_connection_after_it() -> Result<()> {
    Lab::run(|lab| {
        let hosts = format!("{} zero.wild.test\n", Wild::v4(1));
        let (wild, _dnsmasq, dispa) = with_hosts(lab, &hosts, "local-ttl=0")?;
        let answer = wild.client("dig", &["+noall", "+answer", "zero.wild.test"])?;
        assert_eq!(answer.split_whitespace().nth(1), Some("0"), "{answer}");
        // Programs keep answers longer than they should.
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(wild.curl_at("zero.wild.test", Wild::v4(1))?, "backend");
        assert_eq!(wild.curl(&["http://zero.wild.test/"])?, "backend");
        dispa.stop().map(drop)
    })
}

#[test]
fn an_address_shared_with_another_name_is_intercepted_for_its_own_name_only() -> Result<()> {
    Lab::run(|lab| {
        let hosts = format!("{} ours.wild.test\n{0} theirs.test\n", Wild::v4(1));
        let (wild, _dnsmasq, dispa) = with_hosts(lab, &hosts, "")?;
        for _ in 0..3 {
            assert_eq!(wild.curl(&["http://theirs.test/"])?, "original");
            assert_eq!(wild.curl(&["http://ours.wild.test/"])?, "backend");
        }
        // Intercepted as a name, but not at an address of its own.
        assert_eq!(wild.curl_at("unknown.wild.test", Wild::v4(1))?, "original");
        dispa.stop().map(drop)
    })
}

#[test]
fn hints_of_https_records_are_learned() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        let hints = format!("ipv4hint={} ipv6hint={}", Wild::v4(1), Wild::v6(1));
        let records = [format!("svc.wild.test. 60 IN HTTPS 1 . alpn=h2 {hints}")];
        let _unbound = Resolver::unbound(lab, &[Lab::RESOLVER], "wild.test", records)?;
        let dispa = wild.dispa()?;
        for address in [Wild::v4(1), Wild::v6(1)] {
            assert_eq!(wild.curl_at("svc.wild.test", address)?, "original", "not yet");
        }
        let answer = wild.client("dig", &["+short", "svc.wild.test", "HTTPS"])?;
        assert!(answer.contains("ipv4hint=198.18.0.1"), "{answer}");
        for address in [Wild::v4(1), Wild::v6(1)] {
            assert_eq!(wild.curl_at("svc.wild.test", address)?, "backend");
        }
        dispa.stop().map(drop)
    })
}

#[test]
fn an_excluded_name_is_left_alone_though_a_wildcard_matches() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        let hosts = format!(
            "{} keep.wild.test\n{} in.wild.test\n{1} shared.wild.test\n{0} deep.keep.wild.test\n",
            Wild::v4(1),
            Wild::v4(2),
        );
        let _dnsmasq = Resolver::dnsmasq(lab, &[Lab::RESOLVER], &hosts, "")?;
        let excluded = ["keep.wild.test", "*.keep.wild.test", "shared.wild.test"];
        let dispa = Dispa::start(lab, &wild.cgroup, &Wild::config().exclude(&excluded))?;
        for (name, who) in [
            ("keep.wild.test", "original"),
            ("deep.keep.wild.test", "original"),
            ("in.wild.test", "backend"),
            ("shared.wild.test", "original"),
        ] {
            assert_eq!(wild.curl(&[&format!("http://{name}/")])?, who, "{name}");
        }
        let learned = dispa.records("learned");
        let names: Vec<_> = learned.iter().map(|record| record.text("name")).collect();
        assert_eq!(names, ["in.wild.test"]);
        dispa.stop().map(drop)
    })
}
