//! `http.body_timeout`.

use std::time::Duration;

use anyhow::{Result, ensure};
use dispa_e2e::{
    Cells, Clock, Stage,
    http1::{Backend, Client},
    http2,
};
use dispa_lab::{Lab, until};
use http::Method;

use crate::backend::{self, STEP, STEPS};

const SOON: Duration = Duration::from_secs(10);

fn upload_stalls() -> Result<()> {
    let mut client = Client::connect(Stage::DOOR)?;
    client.send(Stage::post("/upload", 10) + "12345")?;
    let clock = Clock::start();
    let answer = client.try_answer("POST")?;
    clock.has_run(1)?;
    if let Some(answer) = answer {
        ensure!(answer.status == 408 && answer.whole, "{answer:?}");
    }
    client.ended()
}

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

fn response_stalls(path: &str) -> Result<()> {
    let mut client = Client::connect(Stage::DOOR)?;
    client.send(Stage::get(path))?;
    let clock = Clock::start();
    let answer = client.answer()?;
    clock.has_run(1)?;
    ensure!(answer.text() == "12345" && !answer.whole, "it looks whole: {answer:?}");
    Ok(())
}

fn response_moves() -> Result<()> {
    let answer = Client::connect(Stage::DOOR)?.get(Stage::HOST, "/steps")?;
    ensure!(answer.body.len() == STEPS && answer.whole, "{answer:?}");
    Ok(())
}

fn http2_upload_stalls() -> Result<()> {
    let client = http2::Client::connect(Stage::DOOR)?;
    let mut stream =
        client.open(http2::Request::new(Method::POST, Stage::HOST, "/upload")?, false)?;
    stream.send("12345", false)?;
    let clock = Clock::start();
    // An answer or a reset stream: both end it.
    if let Ok(answer) = stream.answer() {
        ensure!(answer.status == 408, "{answer:?}");
    }
    clock.has_run(1)
}

fn http2_response_stalls() -> Result<()> {
    let client = http2::Client::connect(Stage::DOOR)?;
    let clock = Clock::start();
    let answer = client.get(Stage::HOST, "/stalls")?;
    clock.has_run(1)?;
    ensure!(answer.text() == "12345" && answer.cut.is_some(), "it looks whole: {answer:?}");
    ensure!(client.get(Stage::HOST, "/next")?.text() == "/next", "the connection ended as well");
    Ok(())
}

fn http2_response_moves() -> Result<()> {
    let answer = http2::Client::connect(Stage::DOOR)?.get(Stage::HOST, "/steps")?;
    ensure!(answer.body.len() == STEPS && answer.cut.is_none(), "{answer:?}");
    Ok(())
}

#[test]
fn a_body_that_stands_still() -> Result<()> {
    Lab::run(|lab| {
        let _backend = backend::start()?;
        let _stage = Stage::start(lab, &Stage::http("body_timeout = 1"))?;
        Cells::at_once(&[
            ("upload stalls", &upload_stalls),
            ("upload moves", &upload_moves),
            ("response stalls", &|| response_stalls("/stalls")),
            ("chunked response stalls", &|| response_stalls("/stalls-in-chunks")),
            ("response moves", &response_moves),
            ("HTTP/2: upload stalls", &http2_upload_stalls),
            ("HTTP/2: response stalls", &http2_response_stalls),
            ("HTTP/2: response moves", &http2_response_moves),
        ])
    })
}

/// Asks for what never ends, takes nothing of it, and is let go together with the backend.
fn reads_nothing(
    stage: &Stage,
    backend: &Backend,
    ask: impl FnOnce() -> Result<Box<dyn Send>>,
) -> Result<()> {
    let base = stage.descriptors()?;
    let client = ask()?;
    until(SOON, "the request", || (!backend.open().is_empty()).then_some(()))?;
    let clock = Clock::start();
    until(SOON, "the end of the backend's connection", || backend.open().is_empty().then_some(()))?;
    clock.has_run(1)?;
    drop(client);
    stage.settles_at(|| base)
}

#[test]
fn a_client_that_reads_nothing() -> Result<()> {
    Lab::run(|lab| {
        let backend = backend::start()?;
        let stage = Stage::start(lab, &Stage::http("body_timeout = 1"))?;
        let mut cells = Cells::new();
        cells.run("HTTP/1.1", || {
            reads_nothing(&stage, &backend, || {
                let mut client = Client::connect(Stage::DOOR)?;
                client.send(Stage::get("/endless"))?;
                Ok(Box::new(client))
            })
        });
        cells.run("HTTP/2, no window", || {
            reads_nothing(&stage, &backend, || {
                let client = http2::Client::connect(Stage::DOOR)?;
                let request = http2::Request::new(Method::GET, Stage::HOST, "/endless")?;
                let mut stream = client.open(request, true)?;
                let (status, _, body) = stream.head()?;
                ensure!(status == 200, "{status}");
                Ok(Box::new((client, stream, body)))
            })
        });
        cells.verdict()
    })
}
