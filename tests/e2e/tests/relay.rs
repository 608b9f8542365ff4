//! Whatever is not for dispa goes to its original destination, byte for byte.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use anyhow::Result;
use dispa_e2e::{Site, direct};
use dispa_lab::{EchoServer, Lab, Process, TcpServer, until};

const HALF_CLOSE: &str = include_str!("../clients/half_close.py");
/// One process in the foreground, which keeps its files where it is told to.
const NGINX: &str = "
daemon off; master_process off; pid nginx.pid; error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {
        listen ADDRESS:443 ssl;
        ssl_certificate certificate.pem;
        ssl_certificate_key key.pem;
        location / { return 200 nginx; }
    }
}";

const SOON: Duration = Duration::from_secs(30);

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

/// nginx with a certificate of its own at the site's address, and the file of that certificate.
fn nginx(lab: &Lab) -> Result<(Process, String)> {
    let directory = lab.directory().display().to_string();
    let script = format!(
        "cd {directory} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
         -keyout key.pem -out certificate.pem -days 2 -subj /CN=example.com \
         -addext subjectAltName=DNS:example.com"
    );
    direct("sh", &["-c", &script])?.success()?;
    let address = Site::V4;
    lab.file("nginx.conf", &NGINX.replace("ADDRESS", &address.to_string()))?;
    let mut command = Command::new("nginx");
    command.args(["-p", &directory, "-c", "nginx.conf", "-e", "stderr"]);
    let nginx = Process::start(&mut command)?;
    until(SOON, "nginx", || TcpStream::connect((address, 443)).ok())?;
    Ok((nginx, format!("{directory}/certificate.pem")))
}

#[test]
fn https_goes_through_to_the_original_server_and_its_certificate() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let (_nginx, certificate) = nginx(lab)?;
        let dispa = site.dispa(&Site::config())?;
        let body = site.curl(&["-4", "--cacert", &certificate, "https://example.com/"])?;
        assert_eq!(body, "nginx");
        dispa.record("exchange", &[("outcome", "relayed"), ("origin", "198.51.100.10:443")])?;
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
