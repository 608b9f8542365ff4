//! Origins that speak HTTP/2 without TLS, for clients that speak either version.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use dispa_e2e::{Script, Server, Site, long_bodies_pass, only_good_exchanges, open_at};
use dispa_lab::{Dispa, Lab, run, until};

const ORIGIN: SocketAddr = Server::ORIGIN;

const REQUESTS: Script = Script::Python(include_str!("../clients/with_requests.py"));
const HTTPX: Script = Script::Python(include_str!("../clients/with_httpx.py"));
const NODE: Script = Script::Node(include_str!("../clients/with_node_h2.mjs"));
const BY_HAND: Script = Script::Python(include_str!("../servers/h2_origin.py"));

/// Gives a connection up after fifty requests, and after a second without any.
const NGINX: &str = "server {
    listen 127.0.0.1:4001 http2;
    root .;
    keepalive_requests 50;
    keepalive_timeout 1s;
    location /post { return 200 posted; }
}";

/// Passes on to the backend `one`.
const HAPROXY: &str = "
global
    maxconn 500
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend door
    bind 127.0.0.1:4001 proto h2
    default_backend one
backend one
    server one 127.0.0.1:3001
";

/// How curl may speak.
const VERSIONS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];

/// More than a server that closes idle connections after a second takes to do so.
const IDLE: Duration = Duration::from_secs(20);

/// A daemon whose only target is [`ORIGIN`], by HTTP/2.
fn dispa(site: &Site<'_>) -> Result<Dispa> {
    site.dispa(&Site::config_of(ORIGIN).target_keys("protocol = \"http2\""))
}

#[test]
fn nodes_http2_server() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _origin = Server::h2_origin()?;
        let _dispa = dispa(&site)?;
        for way in Site::WAYS {
            let lines = site.script(REQUESTS, &[way])?;
            let expected = [
                "get origin /hello",
                "length 2097152 True",
                "chunked 70011 True",
                "multipart True 2",
                "query /echo?q=a+b%26c&%C3%BC=%C3%9F ['a=1; b=2']",
                "stream 100000",
                "head 100000 0",
                "statuses [204, 304, 418, 500]",
                "methods ['PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']",
            ];
            assert_eq!(lines.lines().collect::<Vec<_>>(), expected, "{way}");
            for (version, told) in [("h1", "HTTP/1.1"), ("h2", "HTTP/2")] {
                let lines = site.script(HTTPX, &[version, way])?;
                ensure!(lines.starts_with(&format!("get {told} origin /hello\n")), "{lines}");
                ensure!(lines.ends_with("at once 100"), "{way}: {lines}");
            }
            let lines = site.script(NODE, &[way])?;
            // Several cookie fields may stay several (RFC 9113 section 8.2.3).
            let lines = lines.replace("cookies a=1|b=2", "cookies a=1; b=2");
            let expected = [
                "websocket offered true",
                "get origin /hello",
                "cookies a=1; b=2",
                "host true",
                "set-cookie a=1|b=2",
                "trailers down one two three 3",
                "trailers up 2 x-end: yes",
                "at once 100",
                "after a cancelled stream origin /hello",
            ];
            assert_eq!(lines.lines().collect::<Vec<_>>(), expected, "{way}");
        }
        assert_eq!(site.original.requests(), 0);
        Ok(())
    })
}

#[test]
fn nginx_that_gives_connections_up() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let text = "text\n".repeat(100_000);
        lab.file("a.txt", &text)?;
        let _nginx = Server::nginx(lab, NGINX, ORIGIN)?;
        let dispa = dispa(&site)?;
        for way in Site::WAYS {
            for version in VERSIONS {
                let url = format!("{way}/a.txt");
                assert_eq!(site.curl(&[version, &url])? + "\n", text);
                let say = ["-o/dev/null", "-w", "%{http_code} %{size_download}", version];
                assert_eq!(site.curl(&[&say[..], &["-r", "10-29", &url]].concat())?, "206 20");
                assert_eq!(site.curl(&[&say[..], &["-I", &url]].concat())?, "200 0");
            }
            // More than one connection serves, one after another and many at once.
            let posts = ["-d", "x", "-o/dev/null", "-w", "%{http_code}\n"];
            let url = format!("{way}/post?[1-200]");
            for parallel in [&[][..], &["-Z", "--parallel-max", "20"]] {
                let rows = site.curl(&[&posts[..], parallel, &[&url]].concat())?;
                assert_eq!(rows.lines().filter(|row| *row == "200").count(), 200, "{rows}");
            }
            until(IDLE, "nginx to close", || {
                open_at(ORIGIN.port()).ok().filter(|open| *open == 0)
            })?;
            assert_eq!(site.curl(&["-d", "x", &format!("{way}/post")])?, "posted");
        }
        only_good_exchanges(&dispa)
    })
}

#[test]
fn haproxy_in_front_of_the_backend() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _haproxy = Server::haproxy(lab, HAPROXY, ORIGIN)?;
        let dispa = dispa(&site)?;
        for version in VERSIONS {
            long_bodies_pass(&site, version)?;
        }
        for way in Site::WAYS {
            let rows = site.curl(&["-Z", "--parallel-max", "50", &format!("{way}/[1-300]")])?;
            assert_eq!(rows.lines().filter(|row| *row == "one").count(), 300, "{rows}");
        }
        only_good_exchanges(&dispa)
    })
}

#[test]
fn an_origin_with_small_windows_few_streams_and_short_lived_connections() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _origin = Server::script(BY_HAND, ORIGIN.port(), &[])?;
        let dispa = dispa(&site)?;
        let file = lab.file("upload", &"dispa".repeat(60_000))?.display().to_string();
        for way in Site::WAYS {
            for version in VERSIONS {
                let echo =
                    site.curl(&[version, "-X", "POST", "-T", &file, &format!("{way}/echo")])?;
                let echo: serde_json::Value = serde_json::from_str(&echo)?;
                assert_eq!(echo["length"], 300_000);
                let names: Vec<_> = echo["fields"].as_array().into_iter().flatten().collect();
                for banned in ["connection", "keep-alive", "transfer-encoding", "upgrade", "host"] {
                    assert!(names.iter().all(|field| field[0] != banned), "{names:?}");
                }
                let answer = site.curl(&["-i", version, &format!("{way}/trailers")])?;
                // HTTP/1.1 announces its trailers, HTTP/2 does not: there they cannot be passed on
                // (RFC 9110 section 6.5.1 lets them be dropped).
                let passes = version == VERSIONS[1];
                assert!(answer.contains("three"), "{answer}");
                assert_eq!(answer.contains("x-sum: 3"), passes, "{answer}");
                assert_eq!(site.curl(&[version, &format!("{way}/hints")])?, "h2 hints");
            }
            // Every connection is given up after twenty streams, and has room for four at once.
            for parallel in [&[][..], &["-Z", "--parallel-max", "20"]] {
                let posts = ["-d", "x", "-o/dev/null", "-w", "%{http_code}\n"];
                let url = format!("{way}/n/[1-200]");
                let rows = site.curl(&[&posts[..], parallel, &[&url]].concat())?;
                assert_eq!(rows.lines().filter(|row| *row == "200").count(), 200, "{rows}");
            }
        }
        only_good_exchanges(&dispa)
    })
}

#[test]
fn a_stream_that_is_reset_never_looks_like_a_whole_answer() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _origin = Server::script(BY_HAND, ORIGIN.port(), &[])?;
        let dispa = dispa(&site)?;
        for way in Site::WAYS {
            // curl: 18 is a body cut short, 92 a stream that was reset.
            for (version, cut) in VERSIONS.into_iter().zip([18, 92]) {
                let mut curl = site.cgroup.command("curl");
                curl.args(["-sS", "-o/dev/null", "-w", "%{http_code}", version]);
                let told = run(curl.arg(format!("{way}/reset/500")), IDLE)?;
                let answer = (told.code(), told.stdout());
                // A stream that is reset takes along what of its answer has not left yet.
                let is_cut = answer.0 == Some(cut);
                let is_refused = answer == (Some(0), "502".to_owned());
                ensure!(is_cut || is_refused, "{version} {way}: {answer:?} {}", told.stderr());
            }
        }
        let exchanges = dispa.records("exchange");
        assert_eq!(exchanges.len(), 4);
        for record in exchanges {
            ensure!(
                record.has(&[("outcome", "backend_failed"), ("target", "origin")]),
                "{record:?}"
            );
        }
        Ok(())
    })
}
