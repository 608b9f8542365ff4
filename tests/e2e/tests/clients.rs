//! Programs that know nothing of dispa are served by its backends, and see the address they asked
//! for.

use std::net::SocketAddr;

use anyhow::Result;
use dispa_e2e::{Site, direct};
use dispa_lab::{Client, Lab};

const PEERNAME: &str = include_str!("../clients/peername.py");

#[test]
fn every_client_reaches_the_backends_by_plain_url_over_ipv4_and_ipv6() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&Site::config())?;
        for (name, origin) in [(Site::NAME4, Site::V4), (Site::NAME6, Site::V6)] {
            let origin = SocketAddr::from((origin, 80)).to_string();
            for client in Client::ALL {
                let path = format!("/{client:?}");
                let body = client.fetch(lab, &site.cgroup, &format!("http://{name}{path}"))?;
                assert!(site.is_backend(&body), "{client:?} got {body:?} from {name}");
                let asked = [("host", name), ("path", &path), ("origin", &origin)];
                let record = dispa.record("exchange", &asked)?;
                assert!(record.has(&[("door", "transparent"), ("target", &body)]), "{record:?}");
            }
        }
        assert_eq!(site.shares().iter().sum::<usize>(), 2 * Client::ALL.len());
        assert_eq!(site.original.requests(), 0);

        let stopped = dispa.stop()?.summary;
        // Java asks for both families at once and may try both.
        assert!(stopped.count("redirected_v4") >= Some(5), "{stopped:?}");
        assert!(stopped.count("redirected_v6") >= Some(5), "{stopped:?}");
        Ok(())
    })
}

#[test]
fn without_ipv6_on_the_host_ipv4_is_intercepted_all_the_same() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        direct("sysctl", &["-w", "net.ipv6.conf.all.disable_ipv6=1"])?.success()?;
        let dispa = site.dispa(&Site::config_of_one())?;
        assert_eq!(site.curl(&["http://example.com/"])?, "one");
        assert_eq!(dispa.stop()?.summary.count("redirected_v4"), Some(1));
        Ok(())
    })
}

#[test]
fn the_peer_a_program_sees_is_the_one_it_asked_for() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _dispa = site.dispa(&Site::config_of_one())?;
        let (v4, v6) = (Site::V4.to_string(), Site::V6.to_string());
        let seen = site.python(PEERNAME, &[&v4, &v6, Site::NAME])?;
        let expected = format!(
            "ipv4 {v4} 80 one\nipv6 {v6} 80 one\nmapped ::ffff:{v4} 80 one\nonly-v6 {v6} 80 one"
        );
        assert_eq!(seen, expected);
        Ok(())
    })
}
