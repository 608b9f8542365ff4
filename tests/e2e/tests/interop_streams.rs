//! Bodies pass as they come: nothing is kept back until there is more of it.

use std::time::Duration;

use anyhow::Result;
use dispa_e2e::{Server, Site};
use dispa_lab::{Lab, Process, until};

/// What one step takes at most; it is waited for, and the next step waits for it.
const SOON: Duration = Duration::from_secs(20);

/// How curl is to speak.
const HTTP1: &str = "--http1.1";
const HTTP2: &str = "--http2-prior-knowledge";

/// Runs `body` at each door, with curl's flag and the origin behind them.
fn each_way(
    version: &str,
    body: impl Fn(&Site<'_>, &mut Server, &str, &str) -> Result<()> + Sync,
) -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let mut origin = Server::origin()?;
        let _dispa = site.dispa(&Site::config_of(Server::ORIGIN))?;
        for way in Site::WAYS {
            body(&site, &mut origin, version, way)?;
        }
        Ok(())
    })
}

/// Server-Sent Events arrive one by one.
fn events(version: &str) -> Result<()> {
    each_way(version, |site, origin, version, way| {
        let (came, went) = (origin.count("listener"), origin.count("listener gone"));
        let mut curl = site.cgroup.command("curl");
        let curl = Process::start(curl.args(["-sSN", version, &format!("{way}/events")]))?;
        origin.lines_of("listener", came + 1)?;
        for number in 0..20 {
            origin.write(&format!("event {number}\n"))?;
            let expected = format!("data: event {number}");
            curl.wait_for_line(SOON, |line| line.text == expected)?;
        }
        // The origin hears of it when the listener goes away, with the next events at the latest.
        drop(curl);
        until(SOON, "the end of the listener", || {
            origin.write("nobody hears\n").ok()?;
            (origin.count("listener gone") > went).then_some(())
        })
    })
}

/// The pieces of a body without a length arrive one by one.
fn pieces(version: &str) -> Result<()> {
    each_way(version, |site, origin, version, way| {
        let mut curl = site.cgroup.command("curl");
        curl.args(["-sSN", version, "-X", "POST", "-T", "-", &format!("{way}/pieces")]);
        let mut curl = Process::start(&mut curl)?;
        let mark = format!("{version}-{way}");
        for number in 0..20 {
            curl.write(&format!("{mark}-{number}\n"))?;
            origin.line(&format!("piece {mark}-{number}"))?;
        }
        assert_eq!(curl.finish(SOON)?.success()?, "all");
        Ok(())
    })
}

#[test]
fn each_event_arrives_before_the_next_one_is_sent() -> Result<()> {
    events(HTTP1)
}

#[test]
fn each_event_arrives_before_the_next_one_is_sent_over_http2() -> Result<()> {
    events(HTTP2)
}

#[test]
fn each_piece_of_an_upload_arrives_before_the_next_one_is_sent() -> Result<()> {
    pieces(HTTP1)
}

#[test]
fn each_piece_of_an_upload_arrives_before_the_next_one_is_sent_over_http2() -> Result<()> {
    pieces(HTTP2)
}
