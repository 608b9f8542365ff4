//! Others attach programs too: everyone's go on working, and nobody's is detached.

use std::time::Duration;

use anyhow::Result;
use dispa_e2e::{ForeignProgram, Site, Traces};
use dispa_lab::{Config, Dispa, Lab, Stopped, until};

/// An address that nobody has: the foreign program sends those who ask for it to the site.
const ALIAS: &str = "198.51.100.77";

const SOON: Duration = Duration::from_secs(30);

fn foreign(site: &Site<'_>) -> Result<ForeignProgram> {
    ForeignProgram::attach(&site.cgroup, ALIAS, &Site::V4.to_string())
}

fn via_alias(site: &Site<'_>) -> Result<String> {
    site.curl(&["--resolve", &format!("example.com:80:{ALIAS}"), "http://example.com/"])
}

fn foreign_is_attached(site: &Site<'_>) -> Result<bool> {
    Ok(Traces::of(&site.cgroup)?.programs.contains("foreign"))
}

#[test]
fn a_foreign_program_before_ours_goes_on_working() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _foreign = foreign(&site)?;
        assert_eq!(via_alias(&site)?, "original");

        let dispa = site.dispa(&Site::config_of_one())?;
        // It turns the alias into the site's address, which ours, next in order, redirects.
        assert_eq!(via_alias(&site)?, "one");
        assert_eq!(site.curl(&["http://example.com/"])?, "one");

        dispa.stop()?;
        assert!(foreign_is_attached(&site)?);
        assert_eq!(via_alias(&site)?, "original");
        Ok(())
    })
}

#[test]
fn a_foreign_program_after_ours_goes_on_working() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&Site::config_of_one())?;
        let _foreign = foreign(&site)?;
        // Ours knows nothing of the alias, and the foreign one has the last word.
        assert_eq!(via_alias(&site)?, "original");
        assert_eq!(site.curl(&["http://example.com/"])?, "one");

        dispa.kill()?;
        until(SOON, "the end of dispa's programs", || {
            site.curl(&["http://example.com/"]).ok().filter(|body| body == "original")
        })?;
        assert!(foreign_is_attached(&site)?);
        assert_eq!(via_alias(&site)?, "original");
        Ok(())
    })
}

/// A second daemon beside the site's first one, with another backend.
fn second(site: &Site<'_>) -> Result<Dispa> {
    let config = Config::new(&[Site::NAME, Site::NAME4, Site::NAME6])
        .bind("127.0.0.1:8081".parse()?)
        .target("two", Site::backend(2));
    site.dispa(&config)
}

#[test]
fn two_copies_share_a_cgroup_and_the_first_one_serves() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let first = site.dispa(&Site::config_of_one())?;
        let second = second(&site)?;
        for url in ["http://four.example.com/", "http://six.example.com/"] {
            assert_eq!(site.curl(&[url])?, "one");
        }
        first.stop()?;
        for url in ["http://four.example.com/", "http://six.example.com/"] {
            assert_eq!(site.curl(&[url])?, "two");
        }
        second.stop()?;
        assert_eq!(site.curl(&["http://example.com/"])?, "original");
        Ok(())
    })
}

#[test]
fn two_copies_that_relay_the_same_name_do_not_send_it_round() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let first = site.dispa(&Site::config_of_one())?;
        let second = second(&site)?;
        for address in [format!("{}", Site::V4), format!("[{}]", Site::V6)] {
            let url = format!("http://{address}/");
            assert_eq!(site.curl(&["-H", "Host: other.test", &url])?, "original");
        }
        assert_eq!(site.original.requests(), 2);
        let walks = |stopped: Stopped| {
            stopped.log.iter().filter(|record| record.message() == "exchange").count()
        };
        let (first, second) = (walks(first.stop()?), walks(second.stop()?));
        assert_eq!(first, 2, "each connection walks once through the first copy");
        assert_eq!(second, 0, "the second copy knows the first one's sockets for a proxy's");
        Ok(())
    })
}
