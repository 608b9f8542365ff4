//! Origins of other makes behind dispa, over HTTP/1.

use std::{net::SocketAddr, process::Command, time::Duration};

use anyhow::Result;
use dispa_e2e::{Script, Server, Site, long_bodies_pass, only_good_exchanges, open_at};
use dispa_lab::{Lab, until};

const ORIGIN: SocketAddr = Server::ORIGIN;
const HTTP10: Script = Script::Python(include_str!("../servers/http10.py"));

/// Closes a connection after three requests, and after a second without any.
const NGINX: &str = "server {
    listen 127.0.0.1:4001;
    root .;
    keepalive_requests 3;
    keepalive_timeout 1s;
    types { text/css css; }
    # What came through a proxy (Via) is compressed only on request.
    gzip on; gzip_types text/css; gzip_proxied any;
    location /post { return 200 posted; }
}";

/// Passes on to the backend `one`, and closes idle connections after a second.
const HAPROXY: &str = "
global
    maxconn 500
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout http-keep-alive 1s
frontend door
    bind 127.0.0.1:4001
    default_backend one
backend one
    server one 127.0.0.1:3001
";

/// More than a server that closes idle connections after a second takes to do so.
const IDLE: Duration = Duration::from_secs(20);

#[test]
fn nginx_with_short_lived_connections() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let style = "a{b:c}\n".repeat(20_000);
        lab.file("a.css", &style)?;
        let _nginx = Server::nginx(lab, NGINX, ORIGIN)?;
        let dispa = site.dispa(&Site::config_of(ORIGIN))?;
        for way in Site::WAYS {
            let url = format!("{way}/a.css");
            assert_eq!(site.curl(&[&url])? + "\n", style);
            let packed = site.curl(&["-i", "--compressed", &url])?;
            let packed = packed.to_lowercase();
            assert!(packed.contains("content-encoding: gzip"), "{packed}");
            assert!(packed.contains("transfer-encoding: chunked"), "{packed}");
            assert!(packed.ends_with(style.trim_end()));
            let head = site.curl(&["-I", &url])?.to_lowercase();
            assert!(head.contains(&format!("content-length: {}", style.len())), "{head}");
            let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap_or_default();
            let say = ["-o/dev/null", "-w", "%{http_code} %{size_download}"];
            let unmodified = format!("if-none-match: {tag}");
            assert_eq!(site.curl(&[&say[..], &["-H", &unmodified, &url]].concat())?, "304 0");
            assert_eq!(site.curl(&[&say[..], &["-r", "10-29", &url]].concat())?, "206 20");

            // No POST may meet a connection that is being closed: it would not be sent again.
            let posts = ["-d", "x", "-o/dev/null", "-w", "%{http_code}\n"];
            let rows = site.curl(&[&posts[..], &[&format!("{way}/post?[1-100]")]].concat())?;
            assert_eq!(rows.lines().filter(|row| *row == "200").count(), 100, "{rows}");
            until(IDLE, "nginx to close", || {
                open_at(ORIGIN.port()).ok().filter(|open| *open == 0)
            })?;
            assert_eq!(site.curl(&["-d", "x", &format!("{way}/post")])?, "posted");
        }
        assert_eq!(site.original.requests(), 0);
        only_good_exchanges(&dispa)
    })
}

#[test]
fn haproxy_in_front_of_the_backend() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _haproxy = Server::haproxy(lab, HAPROXY, ORIGIN)?;
        let dispa = site.dispa(&Site::config_of(ORIGIN))?;
        long_bodies_pass(&site, "")?;
        for way in Site::WAYS {
            let rows = site.curl(&["-Z", "--parallel-max", "50", &format!("{way}/[1-300]")])?;
            assert_eq!(rows.lines().filter(|row| *row == "one").count(), 300, "{rows}");
            until(IDLE, "the end of idle connections", || {
                open_at(ORIGIN.port()).ok().filter(|open| *open == 0)
            })?;
            assert_eq!(site.curl(&["-d", "x", way])?, "one");
        }
        only_good_exchanges(&dispa)
    })
}

#[test]
fn pythons_http_server_of_version_1_0() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        lab.file("a.txt", &"text\n".repeat(50_000))?;
        let mut python = Command::new("python3");
        python.args(["-m", "http.server", "4001", "--bind", "127.0.0.1"]);
        let _python = Server::start(python.current_dir(lab.directory()), ORIGIN)?;
        let dispa = site.dispa(&Site::config_of(ORIGIN))?;
        for way in Site::WAYS {
            let url = format!("{way}/a.txt");
            // The origin closes each connection; the client's own is kept.
            let say = "%{http_version} %{http_code} %{size_download} %{num_connects}\n";
            let say = ["-o/dev/null", "-o/dev/null", "-w", say];
            let rows = site.curl(&[&say[..], &[&url, &url]].concat())?;
            assert_eq!(rows, "1.1 200 250000 1\n1.1 200 250000 0");
            assert!(site.curl(&[way])?.contains("<a href=\"a.txt\">"), "the directory's list");
            let code = ["-s", "-o/dev/null", "-w", "%{http_code}", &format!("{way}/none")];
            assert_eq!(site.client("curl", &code)?, "404");
        }
        only_good_exchanges(&dispa)
    })
}

#[test]
fn answers_that_end_with_the_connection() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _origin = Server::script(HTTP10, ORIGIN.port(), &[])?;
        let dispa = site.dispa(&Site::config_of(ORIGIN))?;
        for way in Site::WAYS {
            let say = "%{http_version} %{http_code} %{size_download} %{num_connects}\n";
            let quiet = ["-o/dev/null", "-o/dev/null", "-w", say];
            let rows = site.curl(&[&quiet[..], &[way, way]].concat())?;
            assert_eq!(rows, "1.1 200 200006 1\n1.1 200 200006 0");
            let rows = site.curl(&[&["--http1.0"], &quiet[..], &[way, way]].concat())?;
            assert_eq!(
                rows.lines().filter(|row| row.contains(" 200 200006 ")).count(),
                2,
                "{rows}"
            );
            assert!(site.curl(&["-d", "12345", way])?.starts_with("POST 5 xxx"));
            assert!(site.curl(&["-I", way])?.contains(" 200 "));
        }
        only_good_exchanges(&dispa)
    })
}
