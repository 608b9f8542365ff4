//! Others attach programs too: everyone's go on working, and nobody's is detached.

use std::time::Duration;

use anyhow::Result;
use dispa_e2e::{Attachment, ForeignProgram, Site, Traces};
use dispa_lab::{Config, Dispa, Lab, Stopped, until};

/// An address that nobody has: the foreign program sends those who ask for it to the site.
const ALIAS: &str = "198.51.100.77";

/// The name of dispa's program, as the kernel keeps it.
const OURS: &str = "dispa_connect4";

const SOON: Duration = Duration::from_secs(30);

/// Attaches a program that is not dispa's to the site's cgroup.
fn foreign(site: &Site<'_>, how: Attachment) -> Result<ForeignProgram> {
    ForeignProgram::attach(&site.cgroup, ALIAS, &Site::V4.to_string(), how)
}

fn via_alias(site: &Site<'_>) -> Result<String> {
    site.curl(&["--resolve", &format!("example.com:80:{ALIAS}"), "http://example.com/"])
}

/// How many `connect4` programs of this name are attached to the site's cgroup.
fn attached(site: &Site<'_>, name: &str) -> Result<usize> {
    let programs = Traces::of(&site.cgroup)?.programs;
    Ok(programs.lines().filter(|line| line.split_whitespace().last() == Some(name)).count())
}

fn foreign_before_ours(lab: &Lab, how: Attachment) -> Result<()> {
    let site = Site::new(lab)?;
    let _foreign = foreign(&site, how)?;
    assert_eq!(via_alias(&site)?, "original");

    let dispa = site.dispa(&Site::config_of_one())?;
    // It turns the alias into the site's address, which ours, next in order, redirects.
    assert_eq!(via_alias(&site)?, "one");
    assert_eq!(site.curl(&["http://four.example.com/"])?, "one");
    assert_eq!((attached(&site, "foreign")?, attached(&site, OURS)?), (1, 1));

    dispa.stop()?;
    assert_eq!((attached(&site, "foreign")?, attached(&site, OURS)?), (1, 0));
    assert_eq!(via_alias(&site)?, "original");
    Ok(())
}

fn foreign_after_ours(lab: &Lab, how: Attachment) -> Result<()> {
    let site = Site::new(lab)?;
    let dispa = site.dispa(&Site::config_of_one())?;
    let _foreign = foreign(&site, how)?;
    // Ours knows nothing of the alias, and the foreign one has the last word.
    assert_eq!(via_alias(&site)?, "original");
    assert_eq!(site.curl(&["http://four.example.com/"])?, "one");
    assert_eq!((attached(&site, "foreign")?, attached(&site, OURS)?), (1, 1));

    dispa.kill()?;
    until(SOON, "the end of dispa's programs", || {
        attached(&site, OURS).ok().filter(|count| *count == 0)
    })?;
    assert_eq!(site.curl(&["http://four.example.com/"])?, "original");
    assert_eq!(attached(&site, "foreign")?, 1);
    assert_eq!(via_alias(&site)?, "original");
    Ok(())
}

#[test]
fn a_foreign_program_attached_before_ours_goes_on_working() -> Result<()> {
    Lab::run(|lab| foreign_before_ours(lab, Attachment::Link))?;
    Lab::run(|lab| foreign_before_ours(lab, Attachment::Lasting))
}

#[test]
fn a_foreign_program_attached_after_ours_goes_on_working() -> Result<()> {
    Lab::run(|lab| foreign_after_ours(lab, Attachment::Link))?;
    Lab::run(|lab| foreign_after_ours(lab, Attachment::Lasting))
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
        assert_eq!(attached(&site, OURS)?, 2);
        first.stop()?;
        assert_eq!(attached(&site, OURS)?, 1);
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
