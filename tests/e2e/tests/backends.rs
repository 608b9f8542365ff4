//! How requests reach the backends, and what becomes of those that cannot.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::SocketAddr,
};

use anyhow::Result;
use dispa_e2e::{Site, direct};
use dispa_lab::{Config, Connection, EchoServer, HttpServer, Lab, TcpServer};

const UPGRADE: &str = include_str!("../clients/upgrade.py");

#[test]
fn backends_get_shares_by_their_weights() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let config = Config::new(&[Site::NAME])
            .weighted_target("one", Site::backend(1), 3)
            .weighted_target("two", Site::backend(2), 2)
            .weighted_target("three", Site::backend(3), 1)
            .balancing("weighted");
        let _dispa = site.dispa(&config)?;
        for _ in 0..6 {
            site.curl(&["http://example.com/[1-10]"])?;
        }
        assert_eq!(site.shares(), [30, 20, 10]);
        Ok(())
    })
}

#[test]
fn long_bodies_reach_the_backend_and_the_client_whole() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _dispa = site.dispa(&Site::config_of_one())?;
        let file = lab.directory().join("upload").display().to_string();
        direct("sh", &["-c", &format!("head -c 20000000 /dev/urandom > {file}")])?.success()?;
        let digest = direct("sha256sum", &[&file])?.success()?;
        let told = site.curl(&["-X", "POST", "-T", &file, "http://example.com/sha256"])?;
        assert_eq!(digest.split(' ').next(), Some(told.as_str()));

        let get = |host: &str| format!("curl -sSf http://{host}/bytes/20000000 | sha256sum");
        let truth = direct("sh", &["-c", &get("127.0.0.1:3001")])?.success()?;
        assert_eq!(site.client("sh", &["-c", &get("example.com")])?, truth);
        assert_eq!(site.original.requests(), 0);
        Ok(())
    })
}

#[test]
fn a_backend_that_was_restarted_is_reached_again() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let address: SocketAddr = "127.0.0.1:3999".parse()?;
        let _dispa = site.dispa(&Config::new(&[Site::NAME]).target("own", address))?;
        for name in ["first", "second", "third"] {
            let _backend = HttpServer::start(name, &[address])?;
            assert_eq!(site.curl(&["http://example.com/"])?, name);
        }
        Ok(())
    })
}

#[test]
fn a_backend_that_is_down_is_an_unavailable_service() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let nobody: SocketAddr = "127.0.0.1:3999".parse()?;
        let config = Config::new(&[Site::NAME]).target("nobody", nobody);
        let dispa = site.dispa(&config)?;
        let code = ["-sS", "-o/dev/null", "-w%{http_code}", "http://example.com/"];
        assert_eq!(site.client("curl", &code)?, "503");
        let record = dispa.record("exchange", &[("outcome", "backend_unreachable")])?;
        assert!(record.has(&[("target", "nobody")]) && record.count("status") == Some(503));
        assert_eq!(site.original.requests(), 0);
        Ok(())
    })
}

#[test]
fn a_backend_that_talks_no_http_is_a_bad_gateway() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let address: SocketAddr = "127.0.0.1:3999".parse()?;
        let _echo = EchoServer::start(&[address])?;
        let config = Config::new(&[Site::NAME]).target("echo", address);
        let dispa = site.dispa(&config)?;
        let code = ["-sS", "-o/dev/null", "-w%{http_code}", "http://example.com/"];
        assert_eq!(site.client("curl", &code)?, "502");
        dispa.record("exchange", &[("outcome", "backend_failed"), ("target", "echo")])?;
        Ok(())
    })
}

/// Reads the head of a request, changes the protocol, and sends back what comes then.
fn upgrade_to_echo(connection: &Connection) -> io::Result<()> {
    let mut reader = BufReader::new(&*connection.stream);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let answer =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    (&*connection.stream).write_all(answer.as_bytes())?;
    io::copy(&mut reader, &mut &*connection.stream).map(drop)
}

#[test]
fn an_upgraded_connection_carries_the_other_protocol() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let address: SocketAddr = "127.0.0.1:3999".parse()?;
        let _backend = TcpServer::start(&[address], upgrade_to_echo)?;
        let dispa = site.dispa(&Config::new(&[Site::NAME]).target("echo", address))?;
        let lines = site.python(UPGRADE, &[&Site::V4.to_string(), Site::NAME])?;
        assert_eq!(lines, "101\nthere and back");
        let record = dispa.record("exchange", &[("path", "/socket"), ("target", "echo")])?;
        assert_eq!(record.count("status"), Some(101));
        Ok(())
    })
}
