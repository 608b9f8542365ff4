//! A backend that answers before it has read the request is heard, however much there is to send.

use std::{io::Write as _, net::TcpStream, thread};

use anyhow::{Result, ensure};
use dispa_e2e::{
    Cells, Stage,
    http1::{Backend, Client, Exchange},
    http2,
};
use dispa_lab::Lab;
use http::Method;

/// 50 MB.
const UPLOAD: usize = 50_000_000;
/// A race is won or lost anew each time.
const TIMES: usize = 10;
/// More than one segment.
const TOO_LARGE: &str = "the upload is too large for this backend;";

fn page() -> String {
    TOO_LARGE.repeat(500)
}

/// Answers at once, and closes: with RST, as most of the upload lies there unread.
fn refuse(exchange: &mut Exchange<'_>) -> std::io::Result<()> {
    exchange.answer("413 Content Too Large\r\nconnection: close", page())?;
    exchange.close();
    Ok(())
}

/// Answers at once and sends nothing more, but reads on: no RST.
fn refuse_gently(exchange: &mut Exchange<'_>) -> std::io::Result<()> {
    exchange.answer("413 Content Too Large\r\nconnection: close", page())?;
    exchange.finish()?;
    exchange.until_gone()
}

fn http1_upload() -> Result<()> {
    let mut client = Client::connect(Stage::DOOR)?;
    let host = Stage::HOST;
    client.send(format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {UPLOAD}\r\n\r\n"))?;
    let mut writer = client.writer()?;
    thread::scope(|scope| {
        scope.spawn(move || send_all(&mut writer));
        let answer = client.answer_to("POST")?;
        ensure!((answer.status, answer.whole) == (413, true), "{:?}", answer.head);
        ensure!(answer.text() == page(), "{} bytes", answer.body.len());
        Ok(())
    })
}

/// Sends as long as anybody takes it.
fn send_all(writer: &mut TcpStream) {
    let block = vec![b'u'; 1_000_000];
    for _ in 0..UPLOAD / block.len() {
        if writer.write_all(&block).is_err() {
            break;
        }
    }
}

fn http2_upload() -> Result<()> {
    let client = http2::Client::connect(Stage::DOOR)?;
    let request = http2::Request::new(Method::POST, Stage::HOST, "/")?;
    let request = request.field("content-length", &UPLOAD.to_string())?;
    let answer = client.open(request, false)?.answer_while_sending(vec![b'u'; UPLOAD])?;
    ensure!((answer.status, &answer.cut) == (413, &None), "{answer:?}");
    ensure!(answer.text() == page(), "{} bytes", answer.body.len());
    ensure!(client.get(Stage::HOST, "/")?.status == 413, "the connection is of no more use");
    Ok(())
}

fn uploads(refuse: fn(&mut Exchange<'_>) -> std::io::Result<()>) -> Result<()> {
    Lab::run(|lab| {
        let backend = Backend::start(Stage::BACKEND, refuse)?;
        let stage = Stage::start(lab, &Stage::config())?;
        let base = stage.descriptors()?;
        let mut cells = Cells::new();
        for number in 0..TIMES {
            cells.run(format!("HTTP/1.1, {number}"), http1_upload);
            cells.run(format!("HTTP/2, {number}"), http2_upload);
        }
        cells.verdict()?;
        stage.settles_at(|| base + backend.open().len())
    })
}

#[test]
fn a_refusal_reaches_the_client_though_the_backend_breaks_off() -> Result<()> {
    uploads(refuse)
}

#[test]
fn a_refusal_reaches_the_client_from_a_backend_that_reads_on() -> Result<()> {
    uploads(refuse_gently)
}
