//! Backends that speak HTTP/2: their limits are kept, and their farewells cost nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use dispa_e2e::{
    Cells, Gate, Stage,
    http1::Client,
    http2::{
        Backend, End, Exchange,
        frames::{Frame, Frames, PREFACE},
    },
};
use dispa_lab::{Config, Lab, TcpServer, until};
use h2::server::Builder;

const SOON: Duration = Duration::from_secs(10);

fn config() -> Config {
    Stage::config().target_keys("protocol = \"http2\"")
}

/// Requests at once.
const MANY: usize = 12;
/// Streams that a backend takes at once.
const STREAMS: usize = 2;

#[test]
fn where_streams_run_out_another_connection_is_opened() -> Result<()> {
    Lab::run(|lab| {
        let gate = Arc::new(Gate::new());
        let waiting = Arc::clone(&gate);
        let mut settings = Builder::new();
        settings.max_concurrent_streams(u32::try_from(STREAMS)?);
        let backend = Backend::start(Stage::BACKEND, &settings, move |exchange| {
            let path = exchange.path().to_owned();
            if path.starts_with("/held") {
                waiting.wait();
            }
            exchange.answer(200, path)
        })?;
        let _stage = Stage::start(lab, &config())?;
        let mut clients = Vec::new();
        for number in 0..MANY {
            let mut client = Client::connect(Stage::DOOR)?;
            client.send(Stage::get(&format!("/held/{number}")))?;
            clients.push(client);
        }
        until(SOON, "all requests", || (gate.waiting() == MANY).then_some(()))
            .with_context(|| format!("{:?}", backend.connections()))?;
        gate.open();
        for (number, client) in clients.iter_mut().enumerate() {
            let answer = client.answer()?;
            ensure!(answer.text() == format!("/held/{number}"), "{answer:?}");
        }
        let loads = backend.connections();
        ensure!(loads.values().all(|load| load.most <= STREAMS), "{loads:?}");
        // A worker fills the connections it has before it opens another.
        ensure!(loads.len() <= MANY / STREAMS + 1, "{loads:?}");
        Ok(())
    })
}

#[test]
fn requests_share_a_connection_while_there_are_streams() -> Result<()> {
    Lab::run(|lab| {
        let gate = Arc::new(Gate::new());
        let waiting = Arc::clone(&gate);
        let backend = Backend::start(Stage::BACKEND, &Builder::new(), move |exchange| {
            waiting.wait();
            exchange.answer(200, exchange.path().to_owned())
        })?;
        let _stage = Stage::start(lab, &config())?;
        let mut clients = Vec::new();
        for number in 0..MANY {
            let mut client = Client::connect(Stage::DOOR)?;
            client.send(Stage::get(&format!("/{number}")))?;
            clients.push(client);
        }
        until(SOON, "all requests", || (gate.waiting() == MANY).then_some(()))?;
        gate.open();
        for (number, client) in clients.iter_mut().enumerate() {
            let answer = client.answer()?;
            ensure!(answer.text() == format!("/{number}"), "{answer:?}");
        }
        let connections = backend.connections().len();
        // One of each worker.
        ensure!(connections <= 2, "{connections} connections");
        Ok(())
    })
}

const THREADS: usize = 4;
const REQUESTS: usize = 150;
/// Requests after which the backend says goodbye to a connection.
const FAREWELL: u64 = 7;

fn say_goodbye(exchange: &mut Exchange) -> Result<()> {
    exchange.read_all()?;
    if exchange.order.is_multiple_of(FAREWELL) {
        exchange.end(End::GoAway);
    }
    exchange.answer(200, exchange.path().to_owned())
}

fn ask(thread: usize) -> Result<()> {
    let mut cells = Cells::new();
    let mut client = Client::connect(Stage::DOOR)?;
    for number in 0..REQUESTS {
        let path = format!("/{thread}-{number}");
        let post = number % 3 == 0;
        client.send(if post { Stage::post(&path, 4) + "body" } else { Stage::get(&path) })?;
        let answer = client.answer()?;
        cells.run(format!("POST: {post}, {path}"), || {
            ensure!(answer.status == 200 && answer.text() == path && answer.whole, "{answer:?}");
            Ok(())
        });
    }
    cells.verdict()
}

#[test]
fn after_a_farewell_requests_go_to_a_new_connection() -> Result<()> {
    Lab::run(|lab| {
        let backend = Backend::start(Stage::BACKEND, &Builder::new(), say_goodbye)?;
        let stage = Stage::start(lab, &config())?;
        let base = stage.descriptors()?;
        thread::scope(|scope| {
            let asking: Vec<_> =
                (0..THREADS).map(|thread| scope.spawn(move || ask(thread))).collect();
            for thread in asking {
                thread.join().ok().context("a thread panicked")??;
            }
            anyhow::Ok(())
        })?;
        let connections = backend.connections().len();
        ensure!(connections > 10, "only {connections} connections: were there farewells?");
        let count = backend.seen().len();
        ensure!(count == THREADS * REQUESTS, "the backend was asked {count} times");
        stage.settles_at(|| base + backend.open())
    })
}

/// A status of 200, as HPACK's static table has it (RFC 7541 appendix A).
const OK: u8 = 0x88;

/// The first connection takes no stream: GOAWAY says that none was looked at. Others answer.
fn turn_away(connection: &dispa_lab::Connection, first: bool) -> Result<()> {
    let mut preface = vec![0; PREFACE.len()];
    io_read(&connection.stream, &mut preface)?;
    let mut frames = Frames::of(connection.stream.try_clone()?)?;
    frames.send(&[Frame::new(Frame::SETTINGS, 0, 0, [])])?;
    loop {
        let asked = frames.until(|frame| frame.flags & 1 == 1 && frame.stream != 0)?;
        let Some(stream) = asked.last().map(|frame| frame.stream) else { bail!("no stream") };
        if first {
            frames.send(&[Frame::new(Frame::GOAWAY, 0, 0, [0; 8])])?;
            frames.rest()?;
            return Ok(());
        }
        frames.send(&[
            Frame::new(Frame::HEADERS, Frame::END_HEADERS, stream, [OK]),
            Frame::new(Frame::DATA, Frame::END_STREAM, stream, *b"taken"),
        ])?;
    }
}

fn io_read(mut stream: &std::net::TcpStream, bytes: &mut [u8]) -> std::io::Result<()> {
    std::io::Read::read_exact(&mut stream, bytes)
}

fn turned_away(request: &str) -> Result<()> {
    Lab::run(|lab| {
        let count = AtomicU64::new(0);
        let _backend = TcpServer::start(&[Stage::BACKEND], move |connection| {
            let first = count.fetch_add(1, Ordering::Relaxed) == 0;
            turn_away(connection, first).map_err(std::io::Error::other)
        })?;
        let _stage = Stage::start(lab, &config())?;
        let mut client = Client::connect(Stage::DOOR)?;
        client.send(request)?;
        let answer = client.answer()?;
        ensure!(answer.status == 200 && answer.text() == "taken", "{answer:?}");
        Ok(())
    })
}

#[test]
fn a_stream_that_the_backend_never_looked_at_is_sent_again() -> Result<()> {
    let mut cells = Cells::new();
    cells.run("GET", || turned_away(&Stage::get("/")));
    cells.run("POST without a body", || turned_away(&Stage::post("/", 0)));
    cells.verdict()
}
