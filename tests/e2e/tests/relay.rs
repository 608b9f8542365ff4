//! Whatever is not for dispa goes to its original destination, byte for byte.

use std::{io::Write as _, net::SocketAddr};

use anyhow::Result;
use dispa_e2e::{Site, direct};
use dispa_lab::{EchoServer, Lab, TcpServer};

const HALF_CLOSE: &str = include_str!("../clients/half_close.py");
const LISTEN: &str = include_str!("../clients/listen.py");

/// 100 MB, of which the server and the client each make their own.
const SIZE: u64 = 100_000_000;

#[test]
fn another_site_at_the_same_address_gets_and_sends_the_same_bytes() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&Site::config())?;
        let down =
            format!("curl -sSf -H 'Host: other.test' http://{}/bytes/{SIZE} | sha256sum", Site::V4);
        let file = lab.directory().join("upload").display().to_string();
        direct("sh", &["-c", &format!("head -c {SIZE} /dev/urandom > {file}")])?.success()?;
        let up =
            format!("curl -sSf -H 'Host: other.test' -X POST -T {file} http://{}/sha256", Site::V4);
        for script in [down, up] {
            let truth = direct("sh", &["-c", &script])?.success()?;
            assert_eq!(site.client("sh", &["-c", &script])?, truth, "{script}");
            assert!(truth.len() >= 64, "{truth}");
        }
        assert_eq!(site.shares(), [0, 0, 0]);
        let relayed = dispa.records("exchange");
        let outcomes: Vec<_> = relayed.iter().map(|record| record.text("outcome")).collect();
        assert_eq!(outcomes, ["relayed", "relayed"]);
        Ok(())
    })
}

#[test]
fn a_half_closed_connection_is_answered_to_the_last_byte() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _echo = EchoServer::start(&[(Site::V4, 443).into(), (Site::V6, 443).into()])?;
        let dispa = site.dispa(&Site::config())?;
        for address in [Site::V4, Site::V6] {
            let digests = site.python(HALF_CLOSE, &[&address.to_string(), "443"])?;
            let (sent, got) = digests.split_once(' ').unwrap_or_default();
            assert!(sent == got && sent.len() == 64, "{digests}");
            let origin = SocketAddr::from((address, 443)).to_string();
            dispa.record("exchange", &[("origin", &origin), ("outcome", "relayed")])?;
        }
        Ok(())
    })
}

#[test]
fn a_server_that_speaks_first_is_heard() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _greeter = TcpServer::start(&[(Site::V4, 443).into()], |connection| {
            writeln!(&*connection.stream, "220 {} at your service", connection.local)
        })?;
        let dispa = site.dispa(&Site::config())?;
        let greeting = site.python(LISTEN, &[&Site::V4.to_string(), "443"])?;
        assert_eq!(greeting, "220 198.51.100.10:443 at your service");
        dispa.record("exchange", &[("outcome", "relayed"), ("origin", "198.51.100.10:443")])?;
        Ok(())
    })
}

#[test]
fn an_original_destination_that_is_down_shows_as_a_reset() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&Site::config())?;
        let url = format!("http://{}:443/", Site::V4);
        let result = site.curl(&["-H", "Host: other.test", &url]);
        let error = result.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("reset by peer"), "{error}");
        dispa.record("exchange", &[("outcome", "origin_unreachable")])?;
        Ok(())
    })
}
