//! Clients go while nothing moves: both sides of their exchanges are let go promptly.

use std::{io, time::Duration};

use anyhow::{Result, ensure};
use dispa_e2e::{
    Cells, Stage,
    http1::{Backend, Client, Exchange},
    http2,
};
use dispa_lab::{Lab, until};
use h2::Reason;
use http::Method;

const SOON: Duration = Duration::from_secs(10);
const PROMPTLY: Duration = Duration::from_secs(2);

/// Exchanges at once.
const MANY: usize = 40;
/// Those of them that share an HTTP/2 connection.
const STREAMS: usize = 5;

/// How a client leaves its exchanges; it may stay itself.
type Farewell = Box<dyn FnOnce() -> Result<Option<http2::Client>>>;

#[derive(Clone, Copy, Debug)]
enum Way {
    Http1Fin,
    Http1Rst,
    Http2Fin,
    Http2Rst,
    Http2Streams,
}

const WAYS: [Way; 5] =
    [Way::Http1Fin, Way::Http1Rst, Way::Http2Fin, Way::Http2Rst, Way::Http2Streams];

/// All that comes of a response that goes on.
const EVENT: &str = "6\r\ndata:\n\r\n";

/// Answers nothing, or one event and then nothing.
fn say_nothing(exchange: &mut Exchange<'_>) -> io::Result<()> {
    if exchange.head.word(1) == "/events" {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                    transfer-encoding: chunked\r\n\r\n";
        exchange.send(format!("{head}{EVENT}"))?;
    }
    exchange.until_gone()
}

fn ask(way: Way, path: &str) -> Result<Vec<Farewell>> {
    match way {
        Way::Http1Fin | Way::Http1Rst => (0..MANY).map(|_| ask_http1(way, path)).collect(),
        Way::Http2Fin | Way::Http2Rst | Way::Http2Streams => {
            (0..MANY / STREAMS).map(|_| ask_http2(way, path)).collect()
        }
    }
}

fn ask_http1(way: Way, path: &str) -> Result<Farewell> {
    let mut client = Client::connect(Stage::DOOR)?;
    client.send(Stage::get(path))?;
    if path == "/events" {
        // With something unread a close would be a reset.
        client.head()?;
        ensure!(client.read(EVENT.len())? == EVENT.as_bytes(), "not the event");
    }
    Ok(Box::new(move || {
        if matches!(way, Way::Http1Rst) {
            client.reset()?;
        }
        Ok(None)
    }))
}

fn ask_http2(way: Way, path: &str) -> Result<Farewell> {
    let client = http2::Client::connect(Stage::DOOR)?;
    let open = |_| client.open(http2::Request::new(Method::GET, Stage::HOST, path)?, true);
    let mut streams = (0..STREAMS).map(open).collect::<Result<Vec<_>>>()?;
    Ok(Box::new(move || {
        match way {
            Way::Http2Fin => client.close()?,
            Way::Http2Rst => client.reset()?,
            Way::Http1Fin | Way::Http1Rst | Way::Http2Streams => {
                for stream in &mut streams {
                    stream.reset(Reason::CANCEL);
                }
                return Ok(Some(client));
            }
        }
        // Dropped earlier they would be reset first.
        drop(streams);
        Ok(None)
    }))
}

fn go(way: Way, path: &str, stage: &Stage, backend: &Backend, base: usize) -> Result<()> {
    let farewells = ask(way, path)?;
    until(SOON, "all requests", || (backend.open().len() == MANY).then_some(()))?;
    let mut stay = Vec::new();
    for farewell in farewells {
        stay.extend(farewell()?);
    }
    let is_over = || {
        let now = stage.descriptors().ok()?;
        (backend.open().is_empty() && now <= base + stay.len()).then_some(())
    };
    let over = until(PROMPTLY, "the end", is_over);
    let (left, now) = (backend.open().len(), stage.descriptors()?);
    ensure!(over.is_ok(), "{left} connections to the backend, {now} descriptors instead of {base}");
    Ok(())
}

#[test]
fn both_sides_are_let_go_when_a_client_goes_and_nothing_moves() -> Result<()> {
    Lab::run(|lab| {
        let backend = Backend::start(Stage::BACKEND, say_nothing)?;
        let stage = Stage::start(lab, &Stage::config())?;
        let base = stage.descriptors()?;
        let mut cells = Cells::new();
        for path in ["/silent", "/events"] {
            for way in WAYS {
                cells.run(format!("{way:?} {path}"), || go(way, path, &stage, &backend, base));
            }
        }
        cells.verdict()
    })
}
