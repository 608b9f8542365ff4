//! Responses of the class 1xx.

use std::{io, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use dispa_e2e::{
    Cells, Gate, Stage,
    http1::{Backend, Client, Exchange},
    http2,
};
use dispa_lab::Lab;

use crate::recorder::{FINE, Recorder};

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n\
     HTTP/1.1 103 Early Hints\r\nlink: </b.css>\r\n\r\n";

#[test]
fn hints_reach_those_who_understand_them() -> Result<()> {
    Recorder::run(&Stage::config(), |recorder| {
        recorder.reply(format!("{HINTS}{FINE}"));
        let mut cells = Cells::new();
        cells.run("HTTP/1.1", || {
            let answer = recorder.answer(Recorder::get(""))?;
            let links: Vec<_> = answer.interim.iter().map(|head| head.list("link")).collect();
            ensure!(links == ["</a.css>", "</b.css>"], "{answer:?}");
            ensure!(answer.interim.iter().all(|head| head.status() == 103), "{answer:?}");
            ensure!(answer.text() == "fine", "{answer:?}");
            Ok(())
        });
        cells.run("HTTP/1.0", || {
            let host = Stage::HOST;
            let answer = recorder.answer(format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n"))?;
            ensure!(answer.interim.is_empty() && answer.text() == "fine", "{answer:?}");
            Ok(())
        });
        cells.run("HTTP/2", || {
            let answer = http2::Client::connect(Stage::DOOR)?.get(Stage::HOST, "/")?;
            ensure!(answer.status == 200 && answer.text() == "fine", "{answer:?}");
            Ok(())
        });
        cells.verdict()
    })
}

/// Sends hints, and the rest once the client has them.
fn hint(exchange: &mut Exchange<'_>, gate: &Gate) -> io::Result<()> {
    exchange.send(HINTS)?;
    gate.wait();
    exchange.send(FINE)
}

#[test]
fn hints_come_before_the_rest_is_there() -> Result<()> {
    Lab::run(|lab| {
        let gate = Arc::new(Gate::new());
        let waiting = Arc::clone(&gate);
        let _backend = Backend::start(Stage::BACKEND, move |exchange| hint(exchange, &waiting))?;
        let _stage = Stage::start(lab, &Stage::config())?;
        let mut client = Client::connect(Stage::DOOR)?;
        client.send(Stage::get("/"))?;
        for link in ["</a.css>", "</b.css>"] {
            let head = client.head()?;
            ensure!(head.status() == 103 && head.list("link") == link, "{head:?}");
        }
        gate.open();
        let answer = client.answer()?;
        ensure!(answer.text() == "fine" && answer.interim.is_empty(), "{answer:?}");
        Ok(())
    })
}

fn expecting() -> String {
    let host = Stage::HOST;
    format!("POST / HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
}

#[test]
fn a_client_that_waits_to_be_asked_is_asked() -> Result<()> {
    Recorder::run(&Stage::config(), |recorder| {
        let mut client = Client::connect(Stage::DOOR)?;
        for _ in 0..2 {
            client.send(expecting())?;
            let asked = client.head()?;
            ensure!(asked.status() == 100, "{asked:?}");
            client.send("body")?;
            let answer = client.answer()?;
            ensure!(answer.text() == "fine", "{answer:?}");
            ensure!(recorder.body().bytes == b"body", "{:?}", recorder.body());
        }
        Ok(())
    })
}

/// Answers without the body, which may never come.
fn refuse(exchange: &mut Exchange<'_>) -> io::Result<()> {
    exchange.answer("401 Unauthorized", "who are you?")
}

#[test]
fn a_client_that_waits_to_be_asked_may_be_refused_instead() -> Result<()> {
    Lab::run(|lab| {
        let _backend = Backend::start(Stage::BACKEND, refuse)?;
        let _stage = Stage::start(lab, &Stage::config())?;
        let mut client = Client::connect(Stage::DOOR)?;
        client.send(expecting())?;
        let answer = client.answer()?;
        ensure!(answer.status == 401 && answer.text() == "who are you?", "{answer:?}");
        // The body may still be sent, or another request, which nobody can tell apart from here.
        let closed = client.hears_within(Duration::from_secs(5))?;
        ensure!(closed || client.send("body").is_ok(), "it can neither go on nor is it closed");
        Ok(())
    })
}
