//! `http.header_timeout`, `server.keep_alive_timeout`.

use std::{io::Write as _, net::TcpStream, time::Duration};

use anyhow::{Result, ensure};
use dispa_e2e::{
    Cells, Clock, Stage,
    http1::Client,
    http2::{
        self,
        frames::{Frame, Frames, PREFACE, get},
    },
};
use dispa_lab::Lab;

use crate::backend;

const HEAD: &str = "GET / HTTP/1.1\r\nHost: a.stage.test\r\nX-Long: ";
/// Between two bytes of a head that trickles.
const TRICKLE: Duration = Duration::from_millis(100);

/// The connection is told 408 and ends, in about a second.
fn too_slow(client: &mut Client, clock: Clock) -> Result<()> {
    let answer = client.answer()?;
    clock.has_run(1)?;
    ensure!(answer.status == 408 && answer.whole, "{answer:?}");
    client.ended()
}

fn stalled() -> Result<()> {
    let mut client = Client::connect(Stage::DOOR)?;
    let clock = Clock::start();
    client.send(HEAD)?;
    too_slow(&mut client, clock)
}

fn trickled() -> Result<()> {
    let mut client = Client::connect(Stage::DOOR)?;
    let clock = Clock::start();
    for byte in HEAD.bytes().chain([b'x'; 100]) {
        client.send([byte])?;
        if client.hears_within(TRICKLE)? {
            break;
        }
    }
    too_slow(&mut client, clock)
}

fn second_request() -> Result<()> {
    let mut client = Client::connect(Stage::DOOR)?;
    ensure!(client.get(Stage::HOST, "/first")?.text() == "/first");
    let clock = Clock::start();
    client.send(HEAD)?;
    too_slow(&mut client, clock)
}

/// Behind a whole request in the same segment.
fn pipelined() -> Result<()> {
    let mut client = Client::connect(Stage::DOOR)?;
    let clock = Clock::start();
    client.send(Stage::get("/first") + HEAD)?;
    ensure!(client.answer()?.text() == "/first");
    too_slow(&mut client, clock)
}

fn http2_preface() -> Result<()> {
    let mut stream = TcpStream::connect(Stage::DOOR)?;
    let clock = Clock::start();
    stream.write_all(&PREFACE[..10])?;
    Frames::of(stream)?.rest()?;
    clock.has_run(1)
}

fn http2_block() -> Result<()> {
    let mut frames = Frames::connect(Stage::DOOR)?;
    // Once a head has begun nothing else may be sent, and this is to be acknowledged.
    frames.until(|frame| frame.kind == Frame::SETTINGS && frame.flags & 1 == 0)?;
    let clock = Clock::start();
    let begin = &get(Stage::HOST, "/")[..10];
    frames.send(&[Frame::new(Frame::HEADERS, Frame::END_STREAM, 1, begin)])?;
    frames.rest()?;
    clock.has_run(1)
}

#[test]
fn a_head_that_does_not_come_to_its_end() -> Result<()> {
    Lab::run(|lab| {
        let _backend = backend::start()?;
        let _stage = Stage::start(lab, &Stage::http("header_timeout = 1"))?;
        Cells::at_once(&[
            ("stalled", &stalled),
            ("trickled", &trickled),
            ("on a kept connection", &second_request),
            ("behind another request", &pipelined),
            ("HTTP/2: preface", &http2_preface),
            ("HTTP/2: HEADERS without end", &http2_block),
        ])
    })
}

fn silent() -> Result<()> {
    let (mut client, clock) = (Client::connect(Stage::DOOR)?, Clock::start());
    client.ended()?;
    clock.has_run(1)
}

fn idle() -> Result<()> {
    let mut client = Client::connect(Stage::DOOR)?;
    client.get(Stage::HOST, "/")?;
    let clock = Clock::start();
    client.ended()?;
    clock.has_run(1)
}

fn not_idle() -> Result<()> {
    let mut client = Client::connect(Stage::DOOR)?;
    ensure!(client.get(Stage::HOST, "/late")?.text() == "late");
    Ok(())
}

fn http2_idle() -> Result<()> {
    let mut client = http2::Client::connect(Stage::DOOR)?;
    client.get(Stage::HOST, "/")?;
    let clock = Clock::start();
    let reason = client.ended()?;
    ensure!(reason.is_none_or(|reason| reason == h2::Reason::NO_ERROR), "{reason:?}");
    clock.has_run(1)
}

fn http2_not_idle() -> Result<()> {
    let client = http2::Client::connect(Stage::DOOR)?;
    ensure!(client.get(Stage::HOST, "/late")?.text() == "late");
    Ok(())
}

#[test]
fn a_connection_that_asks_nothing() -> Result<()> {
    Lab::run(|lab| {
        let _backend = backend::start()?;
        let config = Stage::config().server_keys("keep_alive_timeout = 1");
        let _stage = Stage::start(lab, &config)?;
        Cells::at_once(&[
            ("nothing sent at all", &silent),
            ("after a request", &idle),
            ("while a request is under way", &not_idle),
            ("HTTP/2: after a request", &http2_idle),
            ("HTTP/2: while a request is under way", &http2_not_idle),
        ])
    })
}
