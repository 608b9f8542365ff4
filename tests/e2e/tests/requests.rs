//! What happens to the requests of a redirected connection.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result};
use dispa_e2e::Site;
use dispa_lab::{Config, EchoServer, Lab};

const REQUESTS: &str = include_str!("../clients/requests.py");

#[test]
fn connections_are_kept_alive_on_both_sides() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&Site::config_of_one())?;
        let url = "http://example.com/";
        let quiet = ["-o/dev/null", "-o/dev/null", "-o/dev/null", "-w", "%{num_connects}\n"];
        let connects = site.curl(&[&quiet[..], &[url, url, url]].concat())?;
        assert_eq!(connects, "1\n0\n0");

        let backend = &site.backends[0];
        assert_eq!((backend.requests(), backend.accepted()), (3, 1));
        let stopped = dispa.stop()?.summary;
        let redirected = stopped.count("redirected_v4").max(stopped.count("redirected_v6"));
        assert_eq!(redirected, Some(1), "{stopped:?}");
        Ok(())
    })
}

#[test]
fn each_request_of_a_connection_is_decided_by_its_own_host() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _dispa = site.dispa(&Site::config_of_one())?;
        let address = Site::V4.to_string();
        let bodies =
            site.python(REQUESTS, &[&address, "example.com", "other.test", "example.com"])?;
        assert_eq!(bodies, "example.com one\nother.test original\nexample.com one");
        let hosts: Vec<_> = site.original.seen().into_iter().map(|seen| seen.host).collect();
        assert_eq!(hosts, ["other.test"]);
        Ok(())
    })
}

#[test]
fn a_host_matches_in_any_case_with_a_port_and_with_a_final_dot() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _dispa = site.dispa(&Site::config_of_one())?;
        let url = format!("http://{}/", Site::V4);
        for host in ["EXAMPLE.COM", "example.com:80", "example.com.", "Example.Com.:80"] {
            assert_eq!(site.curl(&["-H", &format!("Host: {host}"), &url])?, "one", "{host}");
            let seen = site.backends[0].seen().pop().context("the backend saw nothing")?;
            assert_eq!(seen.host, host, "the backend sees the host as it was sent");
        }
        for host in ["xexample.com", "example.com.test", "sub.example.com"] {
            assert_eq!(site.curl(&["-H", &format!("Host: {host}"), &url])?, "original", "{host}");
        }
        Ok(())
    })
}

#[test]
fn a_rule_applies_only_at_an_address_of_its_own_name() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _dispa = site.dispa(&Site::config_of_one())?;
        let v6_site_at_v4_address = ["-H", "Host: six.example.com", "http://198.51.100.10/"];
        assert_eq!(site.curl(&v6_site_at_v4_address)?, "original");
        Ok(())
    })
}

#[test]
fn backends_get_shares_by_their_weights() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let config = Config::new(&[Site::NAME])
            .weighted_target("one", Site::backend(1), 3)
            .weighted_target("two", Site::backend(2), 2)
            .weighted_target("three", Site::backend(3), 1)
            .balancing("weighted");
        let _dispa = site.dispa(&config)?;
        for _ in 0..6 {
            site.curl(&["http://example.com/[1-10]"])?;
        }
        assert_eq!(site.shares(), [30, 20, 10]);
        Ok(())
    })
}

#[test]
fn an_exchange_leaves_exactly_one_record_that_tells_all_of_it() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&Site::config_of_one())?;
        let url = "http://four.example.com/a/path?query";
        site.curl(&["-d", "body", url])?;
        let stopped = dispa.stop()?;
        let exchanges: Vec<_> =
            stopped.log.iter().filter(|record| record.message() == "exchange").collect();
        let [record] = exchanges[..] else { anyhow::bail!("{exchanges:?}") };
        assert!(
            record.has(&[
                ("level", "INFO"),
                ("door", "transparent"),
                ("origin", "198.51.100.10:80"),
                ("host", "four.example.com"),
                ("method", "POST"),
                ("path", "/a/path"),
                ("rule", "four.example.com"),
                ("target", "one"),
                ("outcome", "ok"),
            ]),
            "{record:?}"
        );
        assert!(record.text("client").parse::<SocketAddr>()?.ip().is_loopback());
        assert_eq!(record.count("status"), Some(200));
        assert!(record.number("duration_ms").is_some_and(|ms| ms > 0.0 && ms < 30_000.0));
        Ok(())
    })
}

#[test]
fn a_backend_that_is_down_is_a_bad_gateway() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let nobody: SocketAddr = "127.0.0.1:3999".parse()?;
        let config = Config::new(&[Site::NAME]).target("nobody", nobody);
        let dispa = site.dispa(&config)?;
        let code = ["-sS", "-o/dev/null", "-w%{http_code}", "http://example.com/"];
        assert_eq!(site.client("curl", &code)?, "502");
        let record = dispa.record("exchange", &[("outcome", "backend_unreachable")])?;
        assert!(record.has(&[("target", "nobody")]) && record.count("status") == Some(502));
        assert_eq!(site.original.requests(), 0);
        Ok(())
    })
}

#[test]
fn a_backend_that_talks_no_http_is_a_bad_gateway() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let address: SocketAddr = "127.0.0.1:3999".parse()?;
        let _echo = EchoServer::start(&[address])?;
        let config = Config::new(&[Site::NAME]).target("echo", address);
        let dispa = site.dispa(&config)?;
        let code = ["-sS", "-o/dev/null", "-w%{http_code}", "http://example.com/"];
        assert_eq!(site.client("curl", &code)?, "502");
        dispa.record("exchange", &[("outcome", "backend_failed"), ("target", "echo")])?;
        Ok(())
    })
}

#[test]
fn a_name_that_moves_is_learned_at_its_new_address() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let config = Config::new(&["moving.test"]).target("one", Site::backend(1));
        let moved: IpAddr = "198.51.100.11".parse()?;
        lab.address(moved)?;
        site.dns.set("moving.test", &[Site::V4], 1);
        let dispa = site.dispa(&config)?;
        dispa.record("learned", &[("name", "moving.test"), ("address", "198.51.100.10")])?;

        site.dns.set("moving.test", &[moved], 1);
        dispa.wait_for(Duration::from_secs(30), |record| {
            record.message() == "learned" && record.has(&[("address", "198.51.100.11")])
        })?;
        assert_eq!(site.curl(&["http://moving.test/"])?, "one");
        // A program may have cached the old answer: that address is still intercepted.
        let resolve = "moving.test:80:198.51.100.10";
        assert_eq!(site.curl(&["--resolve", resolve, "http://moving.test/"])?, "one");
        Ok(())
    })
}

#[test]
fn a_name_in_the_hosts_file_is_intercepted() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        lab.hosts("198.51.100.10 only-in-hosts.test\n")?;
        let config = Config::new(&["only-in-hosts.test"]).target("one", Site::backend(1));
        let _dispa = site.dispa(&config)?;
        assert_eq!(site.curl(&["http://only-in-hosts.test/"])?, "one");
        Ok(())
    })
}
