//! How the addresses of intercepted names are learned.

use std::{net::IpAddr, time::Duration};

use anyhow::Result;
use dispa_e2e::Site;
use dispa_lab::{Config, Lab};

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
