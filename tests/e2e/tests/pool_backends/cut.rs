//! A backend that breaks off in the middle of a response: no client takes it for a whole one.

use std::{io, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use dispa_e2e::{
    Cells, Site,
    http1::{Answer, Backend, Exchange},
    http2::frames::{Frame, Frames, get},
};
use dispa_lab::{Config, Dispa, Lab, run, until};

use crate::local;

const TIMEOUT: Duration = Duration::from_secs(30);

const EVERYTHING: &str = include_str!("../../clients/everything.py");

const ORIGIN: SocketAddr = local(4001);

/// Bytes of the body that are sent.
const SENT: usize = 100;

/// What is sent before the connection is reset.
const RESPONSES: [(&str, &str); 3] = [
    ("/length", "content-length: 1000000\r\n\r\n"),
    ("/within-a-chunk", "transfer-encoding: chunked\r\n\r\n3e8\r\n"),
    ("/between-chunks", "transfer-encoding: chunked\r\n\r\n64\r\n"),
];

fn break_off(exchange: &mut Exchange<'_>) -> io::Result<()> {
    let path = exchange.head.word(1).to_owned();
    let (_, begin) =
        RESPONSES.into_iter().find(|(own, _)| path.starts_with(own)).unwrap_or_default();
    let end = if path.starts_with("/between") { "\r\n" } else { "" };
    exchange.send(format!("HTTP/1.1 200 OK\r\n{begin}{}{end}", "x".repeat(SENT)))?;
    exchange.reset()
}

/// How curl speaks, how it may fail, and the statuses it may tell: of a stream that was reset it tells
/// none where it reads the head and the reset at once.
type Speaking = (&'static str, &'static [i32], &'static [&'static str]);
const HTTP1: Speaking = ("--http1.1", &[18, 56], &["200"]);
const HTTP2: Speaking = ("--http2-prior-knowledge", &[92], &["200", "000"]);

/// curl fails, after it has seen no more than was sent.
fn curl(site: &Site<'_>, (version, codes, statuses): Speaking, url: &str) -> Result<()> {
    let written = ["-sS", "-o/dev/null", "-w%{http_code} %{size_download}"];
    let finished = run(site.cgroup.command("curl").args(written).args([version, url]), TIMEOUT)?;
    let code = finished.code().context("it was killed")?;
    ensure!(codes.contains(&code), "exit code {code}: {finished:?}");
    let told = finished.stdout();
    let (status, length) = told.split_once(' ').context(told.clone())?;
    ensure!(statuses.contains(&status) && length.parse::<usize>()? <= SENT, "{told}");
    Ok(())
}

/// The bytes themselves have no end of a body in them.
fn bytes(site: &Site<'_>, host: &str, port: &str, path: &str) -> Result<()> {
    let came = BASE64_STANDARD.decode(site.python(EVERYTHING, &[host, port, path])?)?;
    let answer = Answer::read(&mut &came[..], "GET")?.context("nothing came")?;
    ensure!(answer.status == 200 && !answer.whole, "{answer:?}");
    ensure!(answer.body.len() <= SENT, "{} bytes", answer.body.len());
    Ok(())
}

/// The stream is reset, without an end before.
fn stream_is_reset(path: &str) -> Result<()> {
    let mut frames = Frames::connect(Config::EXPLICIT_DOOR)?;
    let ends = Frame::END_HEADERS | Frame::END_STREAM;
    frames.send(&[Frame::new(Frame::HEADERS, ends, 1, get(Site::DOOR, path))])?;
    let came = frames.until(|it| {
        let is_end =
            matches!(it.kind, Frame::DATA | Frame::HEADERS) && it.flags & Frame::END_STREAM != 0;
        it.stream == 1 && (it.kind == Frame::RST_STREAM || is_end)
    })?;
    ensure!(came.last().is_some_and(|it| it.kind == Frame::RST_STREAM), "it ended well: {came:?}");
    ensure!(came.iter().any(|it| it.kind == Frame::HEADERS), "no status: {came:?}");
    Ok(())
}

fn outcomes(dispa: &Dispa, cells: &mut Cells, wanted: usize) {
    cells.run("log", || {
        let all = || Some(dispa.records("exchange")).filter(|it| it.len() >= wanted);
        let records = until(TIMEOUT, "all exchanges", all)?;
        ensure!(records.len() == wanted, "{} exchanges", records.len());
        for door in ["transparent", "explicit"] {
            ensure!(records.iter().any(|it| it.text("door") == door), "none at the {door} door");
        }
        for record in &records {
            ensure!(record.text("outcome") == "backend_failed", "{record:?}");
            ensure!(record.count("status") == Some(200), "{record:?}");
        }
        Ok(())
    });
}

#[test]
fn a_response_that_breaks_off_never_looks_whole() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _origin = Backend::start(ORIGIN, break_off)?;
        let dispa = site.dispa(&Site::config_of(ORIGIN))?;
        let mut cells = Cells::new();
        let mut asked = 0;
        for (path, _) in RESPONSES {
            for way in Site::WAYS {
                let url = format!("{way}{path}");
                cells.run(format!("curl {url}"), || curl(&site, HTTP1, &url));
                cells.run(format!("curl, HTTP/2, {url}"), || curl(&site, HTTP2, &url));
                asked += 2;
            }
            for (host, port) in [(Site::NAME, "80"), (Site::DOOR, "8080")] {
                cells.run(format!("bytes of {host}{path}"), || bytes(&site, host, port, path));
                asked += 1;
            }
            cells.run(format!("frames of {path}"), || stream_is_reset(path));
            asked += 1;
        }
        outcomes(&dispa, &mut cells, asked);
        cells.verdict()
    })
}
