//! The HTTP server as curl and a raw socket see it.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::HttpServer;
use crate::{lab::Lab, process::run};

const SOON: Duration = Duration::from_secs(20);

fn address() -> Result<SocketAddr> {
    Ok("127.0.0.1:80".parse()?)
}

fn curl(arguments: &[&str]) -> Result<String> {
    run(Command::new("curl").arg("-sS").args(arguments), SOON)?.success()
}

#[test]
fn it_answers_with_its_name_and_remembers_the_request() -> Result<()> {
    Lab::run(|_| {
        let server = HttpServer::start("one", &[address()?])?;
        let answer = curl(&["-i", "-H", "Host: Example.COM", "http://127.0.0.1/path?query"])?;
        assert!(answer.contains("x-backend: one\r\n") && answer.ends_with("\none"), "{answer}");

        let seen = server.seen().pop().context("nothing seen")?;
        let request = [&*seen.method, &*seen.path, &*seen.host];
        assert_eq!(request, ["GET", "/path?query", "Example.COM"]);
        assert_eq!((seen.local, seen.connection), (address()?, 1));
        assert!(seen.peer.ip().is_loopback());
        Ok(())
    })
}

#[test]
fn a_connection_serves_many_requests() -> Result<()> {
    Lab::run(|_| {
        let server = HttpServer::start("one", &[address()?])?;
        let connects = "%{num_connects}\n";
        let url = "http://127.0.0.1/";
        let counts = curl(&["-o/dev/null", "-o/dev/null", "-w", connects, url, url])?;
        assert_eq!(counts, "1\n0");
        assert_eq!((server.requests(), server.accepted()), (2, 1));
        Ok(())
    })
}

#[test]
fn a_client_of_http_1_0_sees_the_connection_closed() -> Result<()> {
    Lab::run(|_| {
        let _server = HttpServer::start("one", &[address()?])?;
        let mut stream = TcpStream::connect(address()?)?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        assert!(answer.contains("connection: close\r\n") && answer.ends_with("one\n"), "{answer}");
        Ok(())
    })
}

#[test]
fn random_bytes_are_many_and_always_the_same() -> Result<()> {
    Lab::run(|_| {
        let _server = HttpServer::start("one", &[address()?])?;
        let script = "curl -sS http://127.0.0.1/bytes/100003 | tee \"$0\" | sha256sum";
        let digest = |file: &str| run(Command::new("sh").args(["-c", script, file]), SOON);
        let first = digest("/dev/null")?.success()?;
        assert_eq!(digest("/dev/null")?.success()?, first);

        let count = "curl -sS http://127.0.0.1/bytes/100003 | wc -c";
        let count = run(Command::new("sh").args(["-c", count]), SOON)?.success()?;
        assert_eq!(count.trim(), "100003");
        Ok(())
    })
}

#[test]
fn a_posted_body_is_answered_with_its_digest() -> Result<()> {
    Lab::run(|lab| {
        let _server = HttpServer::start("one", &[address()?])?;
        // Long enough for curl to expect `100 Continue`.
        let file = lab.file("body", &"dispa".repeat(500_000))?.display().to_string();
        let ours = run(Command::new("sha256sum").arg(&file), SOON)?.success()?;
        let theirs = curl(&["--data-binary", &format!("@{file}"), "http://127.0.0.1/sha256"])?;
        assert_eq!(ours.split(' ').next(), Some(theirs.as_str()));

        let chunked = ["-H", "transfer-encoding: chunked", "-d", "x", "-w", "%{http_code}"];
        assert_eq!(curl(&[&chunked[..], &["http://127.0.0.1/"]].concat())?, "411");
        Ok(())
    })
}
