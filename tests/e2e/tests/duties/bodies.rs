//! Bodies of requests.

use anyhow::{Result, ensure};
use dispa_e2e::{Cells, Stage, http2};
use http::{HeaderMap, HeaderValue, Method};

use crate::recorder::Recorder;

const BODY: &str = "abc0123456789";
const CHUNKS: &str = "3;note=\"a b\"\r\nabc\r\n00a\r\n0123456789\r\n";

/// A request with a body, and what follows it.
fn posted(recorder: &Recorder, rest: &str, trailers: &[(&str, &str)]) -> Result<()> {
    let host = Stage::HOST;
    let answer = recorder.answer(format!("POST / HTTP/1.1\r\nHost: {host}\r\n{rest}"))?;
    ensure!(answer.text() == "fine", "{answer:?}");
    arrived(recorder, trailers)
}

fn arrived(recorder: &Recorder, trailers: &[(&str, &str)]) -> Result<()> {
    let body = recorder.body();
    ensure!(body.bytes == BODY.as_bytes() && body.whole, "{body:?}");
    let own: Vec<_> = body.trailers.iter().map(|it| (&*it.0, &*it.1)).collect();
    ensure!(own == trailers, "{body:?}");
    Ok(())
}

/// Sends the body in two parts, with or without its length or trailers.
fn http2_posted(recorder: &Recorder, length: bool, trailers: bool) -> Result<()> {
    let client = http2::Client::connect(Stage::DOOR)?;
    let mut request = http2::Request::new(Method::POST, Stage::HOST, "/")?;
    if length {
        request = request.field("content-length", &BODY.len().to_string())?;
    }
    if trailers {
        request = request.field("trailer", "x-sum")?;
    }
    let mut stream = client.open(request, false)?;
    stream.send(&BODY.as_bytes()[..3], false)?;
    stream.send(&BODY.as_bytes()[3..], !trailers)?;
    if trailers {
        let sum = HeaderValue::from_static("6");
        stream.trailers(HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), sum)]))?;
    }
    let answer = stream.answer()?;
    ensure!(answer.text() == "fine", "{answer:?}");
    arrived(recorder, if trailers { &[("x-sum", "6")] } else { &[] })
}

#[test]
fn bodies_of_every_kind_reach_the_backend() -> Result<()> {
    Recorder::run(&Stage::config(), |recorder| {
        let mut cells = Cells::new();
        let length = format!("content-length: {}\r\n\r\n{BODY}", BODY.len());
        cells.run("with a length", || posted(recorder, &length, &[]));
        let chunked = "transfer-encoding: chunked\r\n\r\n";
        let plain = format!("{chunked}{CHUNKS}0\r\n\r\n");
        cells.run("chunked", || posted(recorder, &plain, &[]));
        let tail = format!("trailer: x-sum\r\n{chunked}{CHUNKS}0\r\nX-Sum: 6\r\n\r\n");
        cells.run("chunked with trailers", || posted(recorder, &tail, &[("x-sum", "6")]));
        cells.run("HTTP/2, with a length", || http2_posted(recorder, true, false));
        cells.run("HTTP/2, without", || http2_posted(recorder, false, false));
        cells.run("HTTP/2, with trailers", || http2_posted(recorder, false, true));
        cells.verdict()
    })
}

#[test]
fn a_body_keeps_the_framing_it_came_with() -> Result<()> {
    Recorder::run(&Stage::config(), |recorder| {
        let host = Stage::HOST;
        let head = recorder
            .seen(format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\n\r\nbody"))?;
        ensure!(head.list("content-length") == "4" && !head.has("transfer-encoding"), "{head:?}");
        let head = recorder.seen(Recorder::get(""))?;
        ensure!(
            !head.has("transfer-encoding") && head.list("content-length").is_empty(),
            "{head:?}"
        );
        let head = recorder
            .seen(format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"))?;
        ensure!(head.list("content-length") == "0", "{head:?}");
        Ok(())
    })
}
