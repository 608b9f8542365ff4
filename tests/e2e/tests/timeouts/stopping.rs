//! `http.drain_timeout`.

use std::{io, sync::Arc};

use anyhow::{Result, ensure};
use dispa_e2e::{
    Clock, Gate, Stage,
    http1::{Backend, Client, Exchange},
    http2,
};
use dispa_lab::Lab;
use http::Method;
use nix::sys::signal::Signal;

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345";

/// Ends its response when the gate is opened, or never.
fn half(exchange: &mut Exchange<'_>, gate: &Gate) -> io::Result<()> {
    exchange.send(HEAD)?;
    if exchange.head.word(1) == "/never" {
        return exchange.until_gone();
    }
    gate.wait();
    exchange.send("67890")
}

/// A daemon that is told to stop while one client of each protocol reads a response from `path`;
/// once it has been told, `then` happens. What the clients get.
fn stopped(path: &str, then: impl FnOnce(&Gate) + Send) -> Result<(Clock, [(String, bool); 2])> {
    Lab::run(|lab| {
        let gate = Arc::new(Gate::new());
        let waiting = Arc::clone(&gate);
        let _backend = Backend::start(Stage::BACKEND, move |exchange| half(exchange, &waiting))?;
        let stage = Stage::start(lab, &Stage::http("drain_timeout = 2"))?;
        let mut one = Client::connect(Stage::DOOR)?;
        one.send(Stage::get(path))?;
        ensure!(one.hears_within(std::time::Duration::from_secs(10))?, "no response");
        let two = http2::Client::connect(Stage::DOOR)?;
        let mut stream = two.open(http2::Request::new(Method::GET, Stage::HOST, path)?, true)?;
        let (status, _, mut body) = stream.head()?;
        ensure!(status == 200, "{status}");

        let clock = Clock::start();
        stage.dispa.signal(Signal::SIGTERM)?;
        then(&gate);
        let answer = one.answer()?;
        let mut text = String::new();
        let whole = loop {
            match stream.part(&mut body) {
                Ok(Some(part)) => text.push_str(&String::from_utf8_lossy(&part)),
                ended => break ended.is_ok(),
            }
        };
        let Stage { dispa, .. } = stage;
        dispa.ended()?;
        Ok((clock, [(answer.text(), answer.whole), (text, whole)]))
    })
}

#[test]
fn a_download_that_ends_in_time_ends_well() -> Result<()> {
    let (clock, answers) = stopped("/soon", Gate::open)?;
    for (text, whole) in answers {
        ensure!(text == "1234567890" && whole, "{text}, whole: {whole}");
    }
    // Nobody waits for longer than it takes.
    ensure!(clock.elapsed() < std::time::Duration::from_millis(1800), "{:?}", clock.elapsed());
    Ok(())
}

#[test]
fn a_download_that_does_not_is_cut() -> Result<()> {
    let (clock, answers) = stopped("/never", |_| ())?;
    clock.has_run(2)?;
    for (text, whole) in answers {
        ensure!(text == "12345" && !whole, "{text}, whole: {whole}");
    }
    Ok(())
}
