//! A backend that takes its time.

use std::{io, thread, time::Duration};

use anyhow::Result;
use dispa_e2e::{
    Stage,
    http1::{Backend, Exchange},
};

/// Between two pieces of a body that moves: well below every timeout tested.
pub(crate) const STEP: Duration = Duration::from_millis(400);
/// Pieces of a body that moves: it takes far longer than any timeout tested.
pub(crate) const STEPS: usize = 7;
/// Longer than a timeout of one second lasts.
const LATE: Duration = Duration::from_secs(2);

/// Starts it.
pub(crate) fn start() -> Result<Backend> {
    Backend::start(Stage::BACKEND, answer)
}

/// What it does is the request's path.
fn answer(exchange: &mut Exchange<'_>) -> io::Result<()> {
    match exchange.head.word(1).to_owned().as_str() {
        "/silent" => {
            exchange.read_all()?;
            exchange.until_gone()
        }
        "/stalls" => {
            exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345")?;
            exchange.until_gone()
        }
        "/stalls-in-chunks" => {
            exchange.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\n")?;
            exchange.until_gone()
        }
        "/steps" => steps(exchange),
        "/endless" => endless(exchange),
        "/late" => {
            exchange.read_all()?;
            thread::sleep(LATE);
            exchange.answer("200 OK", "late")
        }
        path => {
            exchange.read_all()?;
            exchange.answer("200 OK", path)
        }
    }
}

fn steps(exchange: &mut Exchange<'_>) -> io::Result<()> {
    exchange.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {STEPS}\r\n\r\n"))?;
    for _ in 0..STEPS {
        thread::sleep(STEP);
        exchange.send("x")?;
    }
    Ok(())
}

fn endless(exchange: &mut Exchange<'_>) -> io::Result<()> {
    exchange.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    loop {
        exchange.send(&chunk)?;
    }
}
