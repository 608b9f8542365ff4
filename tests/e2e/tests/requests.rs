//! What happens to the requests of a redirected connection.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use dispa_e2e::Site;
use dispa_lab::Lab;

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
fn a_client_that_goes_away_is_recorded_as_that() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&Site::config_of_one())?;
        let script = "curl -sS http://example.com/bytes/100000000 2>&1 | head -c 10000 | wc -c";
        assert_eq!(site.client("sh", &["-c", script])?.trim(), "10000");
        let record = dispa.record("exchange", &[("outcome", "client_aborted")])?;
        assert!(record.has(&[("target", "one"), ("path", "/bytes/100000000")]), "{record:?}");
        Ok(())
    })
}
