//! `server.request_timeout`, `http.connect_timeout`, `http.first_byte_timeout` and a target's own
//! `timeout`.

use std::{process::Command, time::Duration};

use anyhow::{Result, ensure};
use dispa_e2e::{Cells, Clock, Stage, http1::Client, http2};
use dispa_lab::{Config, Lab, run};
use http::Method;

use crate::backend::{self, STEP, STEPS};

const SOON: Duration = Duration::from_secs(10);

/// A GET is told one of these in about a second.
fn too_slow(path: &str, statuses: &[u16]) -> Result<()> {
    let mut client = Client::connect(Stage::DOOR)?;
    let clock = Clock::start();
    let answer = client.get(Stage::HOST, path)?;
    clock.has_run(1)?;
    ensure!(statuses.contains(&answer.status) && answer.whole, "{answer:?}");
    Ok(())
}

/// The same for HTTP/2, whose connection goes on.
fn http2_too_slow(path: &str, statuses: &[u16]) -> Result<()> {
    let client = http2::Client::connect(Stage::DOOR)?;
    for _ in 0..2 {
        let clock = Clock::start();
        let answer = client.get(Stage::HOST, path)?;
        clock.has_run(1)?;
        ensure!(statuses.contains(&answer.status) && answer.cut.is_none(), "{answer:?}");
    }
    Ok(())
}

fn post_too_slow(path: &str) -> Result<()> {
    let mut client = Client::connect(Stage::DOOR)?;
    let clock = Clock::start();
    client.send(Stage::post(path, 4) + "body")?;
    let answer = client.answer()?;
    clock.has_run(1)?;
    ensure!(answer.status == 504 && answer.whole, "{answer:?}");
    Ok(())
}

/// An upload that takes far longer than the timeout, and does not stand still.
fn upload_moves() -> Result<()> {
    let mut client = Client::connect(Stage::DOOR)?;
    client.send(Stage::post("/upload", STEPS))?;
    for _ in 0..STEPS {
        ensure!(!client.hears_within(STEP)?, "answered too early: {:?}", client.try_answer("POST"));
        client.send("x")?;
    }
    ensure!(client.answer()?.text() == "/upload");
    Ok(())
}

fn http2_upload_moves() -> Result<()> {
    let client = http2::Client::connect(Stage::DOOR)?;
    let mut stream =
        client.open(http2::Request::new(Method::POST, Stage::HOST, "/upload")?, false)?;
    for _ in 0..STEPS {
        std::thread::sleep(STEP);
        stream.send("x", false)?;
    }
    stream.end()?;
    ensure!(stream.answer()?.text() == "/upload");
    Ok(())
}

/// A response that has begun in time may take as long as it likes.
fn response_moves() -> Result<()> {
    let answer = Client::connect(Stage::DOOR)?.get(Stage::HOST, "/steps")?;
    ensure!(answer.body.len() == STEPS && answer.whole, "{answer:?}");
    Ok(())
}

/// All that a timeout for the beginning of a response must and must not do.
fn begins_in_a_second(config: &Config) -> Result<()> {
    Lab::run(|lab| {
        let _backend = backend::start()?;
        let _stage = Stage::start(lab, config)?;
        Cells::at_once(&[
            ("GET", &|| too_slow("/silent", &[504])),
            ("POST", &|| post_too_slow("/silent")),
            ("HTTP/2", &|| http2_too_slow("/silent", &[504])),
            ("an upload that moves", &upload_moves),
            ("HTTP/2: an upload that moves", &http2_upload_moves),
            ("a response that moves", &response_moves),
        ])
    })
}

#[test]
fn a_request_not_answered_in_time() -> Result<()> {
    begins_in_a_second(&Stage::config().server_keys("request_timeout = 1"))
}

#[test]
fn an_attempt_not_answered_in_time() -> Result<()> {
    begins_in_a_second(&Stage::http("first_byte_timeout = 1"))
}

#[test]
fn a_target_not_answering_in_its_own_time() -> Result<()> {
    begins_in_a_second(&Stage::config().target_keys("timeout = 1"))
}

#[test]
fn a_target_with_more_time_of_its_own() -> Result<()> {
    Lab::run(|lab| {
        let _backend = backend::start()?;
        let config = Stage::http("first_byte_timeout = 1").target_keys("timeout = 5");
        let _stage = Stage::start(lab, &config)?;
        let answer = Client::connect(Stage::DOOR)?.get(Stage::HOST, "/late")?;
        ensure!((answer.status, answer.text()) == (200, "late".to_owned()), "{answer:?}");
        Ok(())
    })
}

#[test]
fn a_backend_that_nothing_reaches() -> Result<()> {
    Lab::run(|lab| {
        let port = Stage::BACKEND.port();
        let rules = format!(
            "table ip lost {{ chain out {{ type filter hook output priority 0; \
             tcp dport {port} drop; }}; }}"
        );
        run(Command::new("nft").arg(rules), SOON)?.success()?;
        let _stage = Stage::start(lab, &Stage::http("connect_timeout = 1"))?;
        Cells::at_once(&[
            ("HTTP/1.1", &|| too_slow("/", &[503, 504])),
            ("HTTP/2", &|| http2_too_slow("/", &[503, 504])),
        ])
    })
}
