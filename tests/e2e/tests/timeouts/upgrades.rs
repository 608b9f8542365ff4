//! `http.websocket_timeout`.

use std::{io, thread};

use anyhow::{Result, ensure};
use dispa_e2e::{
    Cells, Clock, Stage,
    http1::{Backend, Client, Exchange},
    http2,
};
use dispa_lab::Lab;

use crate::backend::{STEP, STEPS};

/// Changes the protocol, and says nothing, or an `x` a step, or what it is sent.
fn switch(exchange: &mut Exchange<'_>) -> io::Result<()> {
    exchange.switch("")?;
    match exchange.head.word(1) {
        "/speaks" => {
            for _ in 0..STEPS {
                thread::sleep(STEP);
                exchange.send("x")?;
            }
            exchange.finish()
        }
        "/echoes" => loop {
            let bytes = exchange.receive()?;
            if bytes.is_empty() {
                return exchange.finish();
            }
            exchange.send(bytes)?;
        },
        _ => exchange.until_gone(),
    }
}

fn open(path: &str) -> Result<Client> {
    let mut client = Client::connect(Stage::DOOR)?;
    client.send(Stage::websocket(path))?;
    let answer = client.answer()?;
    ensure!(answer.status == 101, "{answer:?}");
    Ok(client)
}

fn silent_both_ways() -> Result<()> {
    let mut client = open("/silent")?;
    let clock = Clock::start();
    client.ended()?;
    clock.has_run(1)
}

fn backend_speaks() -> Result<()> {
    ensure!(open("/speaks")?.rest()?.len() == STEPS);
    Ok(())
}

fn client_speaks() -> Result<()> {
    let mut client = open("/echoes")?;
    for _ in 0..STEPS {
        thread::sleep(STEP);
        client.send("x")?;
        ensure!(client.read(1)? == b"x");
    }
    Ok(())
}

fn http2_silent() -> Result<()> {
    let client = http2::Client::connect(Stage::DOOR)?;
    let mut stream = client.open(http2::Request::websocket(Stage::HOST, "/silent")?, false)?;
    let (status, _, mut body) = stream.head()?;
    ensure!(status == 200, "{status}");
    let clock = Clock::start();
    // The end or a reset.
    ensure!(stream.part(&mut body).ok().flatten().is_none(), "something came");
    clock.has_run(1)
}

#[test]
fn an_upgraded_connection_on_which_nobody_speaks() -> Result<()> {
    Lab::run(|lab| {
        let backend = Backend::start(Stage::BACKEND, switch)?;
        let stage = Stage::start(lab, &Stage::http("websocket_timeout = 1"))?;
        let base = stage.descriptors()?;
        Cells::at_once(&[
            ("silent both ways", &silent_both_ways),
            ("the backend speaks", &backend_speaks),
            ("the client speaks", &client_speaks),
            ("HTTP/2: silent both ways", &http2_silent),
        ])?;
        stage.settles_at(|| base)?;
        ensure!(backend.open().is_empty(), "{:?} are still open", backend.open());
        Ok(())
    })
}
