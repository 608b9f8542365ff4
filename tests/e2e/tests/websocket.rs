//! Connections that left HTTP: every byte passes, and each end is passed on as what it was.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{
    Stage,
    http1::{Backend, Client, Exchange, Head},
    http2,
};
use dispa_lab::{Lab, until};
use h2::Reason;

const PROMPTLY: Duration = Duration::from_secs(2);

/// What the backend was sent on its last connection.
type Received = Arc<Mutex<Vec<u8>>>;

/// What happens once the protocol is changed, by path.
fn serve(exchange: &mut Exchange<'_>, received: &Received) -> io::Result<()> {
    match exchange.head.word(1).to_owned().as_str() {
        "/greets" => {
            exchange.switch("hello")?;
            echo(exchange)?;
            exchange.finish()
        }
        "/has-the-last-word" => {
            exchange.switch("")?;
            echo(exchange)?;
            exchange.send("goodbye")?;
            exchange.finish()
        }
        "/listens" => {
            exchange.switch("done")?;
            exchange.finish()?;
            let bytes = receive_all(exchange)?;
            *received.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
            Ok(())
        }
        "/resets" => {
            exchange.switch("")?;
            exchange.receive()?;
            exchange.reset()
        }
        _ => {
            exchange.switch("")?;
            exchange.until_gone()
        }
    }
}

fn receive_all(exchange: &mut Exchange<'_>) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let bytes = exchange.receive()?;
        if bytes.is_empty() {
            return Ok(all);
        }
        all.extend(bytes);
    }
}

/// Sends back what comes, up to the client's end.
fn echo(exchange: &mut Exchange<'_>) -> io::Result<()> {
    loop {
        let bytes = exchange.receive()?;
        if bytes.is_empty() {
            return Ok(());
        }
        exchange.send(bytes)?;
    }
}

struct World {
    stage: Stage,
    backend: Backend,
    received: Received,
    descriptors: usize,
}

/// Runs a test, after which nothing may be left open.
fn world(test: impl FnOnce(&World) -> Result<()> + Send) -> Result<()> {
    Lab::run(|lab| {
        let received = Received::default();
        let noting = Arc::clone(&received);
        let backend = Backend::start(Stage::BACKEND, move |exchange| serve(exchange, &noting))?;
        let stage = Stage::start(lab, &Stage::config())?;
        let descriptors = stage.descriptors()?;
        let world = World { stage, backend, received, descriptors };
        test(&world)?;
        world.is_let_go()
    })
}

impl World {
    fn is_let_go(&self) -> Result<()> {
        until(PROMPTLY, "the end of the backend's connection", || {
            self.backend.open().is_empty().then_some(())
        })?;
        self.stage.settles_at(|| self.descriptors)
    }

    fn request(&self) -> Result<Head> {
        Ok(self.backend.seen().pop().context("the backend saw nothing")?.head)
    }
}

fn open(path: &str) -> Result<Client> {
    let mut client = Client::connect(Stage::DOOR)?;
    client.send(Stage::websocket(path))?;
    switched(&mut client)?;
    Ok(client)
}

fn switched(client: &mut Client) -> Result<()> {
    let answer = client.answer()?;
    ensure!(answer.status == 101, "{answer:?}");
    let (upgrade, accept) = (answer.head.list("upgrade"), answer.head.list("sec-websocket-accept"));
    ensure!(upgrade.eq_ignore_ascii_case("websocket"), "{answer:?}");
    ensure!(answer.head.list("connection").eq_ignore_ascii_case("upgrade"), "{answer:?}");
    ensure!(accept == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "{answer:?}");
    Ok(())
}

#[test]
fn the_handshake_reaches_the_backend() -> Result<()> {
    world(|world| {
        let _client = open("/silent")?;
        let head = world.request()?;
        ensure!(head.list("upgrade").eq_ignore_ascii_case("websocket"), "{head:?}");
        ensure!(head.list("connection").to_ascii_lowercase().contains("upgrade"), "{head:?}");
        ensure!(head.list("sec-websocket-key") == "dGhlIHNhbXBsZSBub25jZQ==", "{head:?}");
        ensure!(head.list("sec-websocket-version") == "13", "{head:?}");
        Ok(())
    })
}

#[test]
fn bytes_right_behind_the_handshake_are_not_lost() -> Result<()> {
    world(|_| {
        let mut client = open("/greets")?;
        client.send("first")?;
        let heard = client.read(10)?;
        ensure!(heard == b"hellofirst", "{heard:?}");
        Ok(())
    })
}

#[test]
fn bytes_sent_together_with_the_request_are_not_lost() -> Result<()> {
    world(|_| {
        let mut client = Client::connect(Stage::DOOR)?;
        client.send(Stage::websocket("/greets") + "early")?;
        switched(&mut client)?;
        let heard = client.read(10)?;
        ensure!(heard == b"helloearly", "{heard:?}");
        Ok(())
    })
}

/// More than all buffers on the way hold.
const LONG: usize = 20_000_000;

#[test]
fn long_streams_pass_both_ways_at_once() -> Result<()> {
    world(|_| {
        let mut client = open("/greets")?;
        let mut writer = client.writer()?;
        let bytes: Vec<_> = (0..LONG).map(|number| number.to_le_bytes()[1]).collect();
        let heard = thread::scope(|scope| {
            scope.spawn(|| {
                // What is not sent is missed by whoever reads.
                let _ = io::Write::write_all(&mut writer, &bytes);
                let _ = writer.shutdown(std::net::Shutdown::Write);
            });
            client.rest()
        })?;
        ensure!(heard.len() == LONG + 5, "{} bytes", heard.len());
        ensure!(heard[..5] == *b"hello" && heard[5..] == bytes, "other bytes came");
        Ok(())
    })
}

#[test]
fn a_client_that_has_ended_hears_the_last_word() -> Result<()> {
    world(|_| {
        let mut client = open("/has-the-last-word")?;
        client.send("question")?;
        client.half_close()?;
        let heard = client.rest()?;
        ensure!(heard == b"questiongoodbye", "{:?}", String::from_utf8_lossy(&heard));
        Ok(())
    })
}

#[test]
fn a_backend_that_has_ended_hears_the_last_word() -> Result<()> {
    world(|world| {
        let mut client = open("/listens")?;
        let heard = client.rest()?;
        ensure!(heard == b"done", "{heard:?}");
        client.send("the last word")?;
        drop(client);
        world.is_let_go()?;
        let received = world.received.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ensure!(received == b"the last word", "{:?}", String::from_utf8_lossy(&received));
        Ok(())
    })
}

#[test]
fn a_client_that_resets_leaves_no_backend_waiting() -> Result<()> {
    world(|world| {
        open("/silent")?.reset()?;
        world.is_let_go()
    })
}

#[test]
fn a_client_that_closes_leaves_no_backend_waiting() -> Result<()> {
    world(|world| {
        drop(open("/silent")?);
        world.is_let_go()
    })
}

#[test]
fn a_backend_that_resets_leaves_no_client_waiting() -> Result<()> {
    world(|_| {
        let mut client = open("/resets")?;
        client.send("x")?;
        client.ended()
    })
}

fn http2_open(client: &http2::Client, path: &str) -> Result<(http2::Stream, h2::RecvStream)> {
    until(PROMPTLY, "SETTINGS_ENABLE_CONNECT_PROTOCOL", || client.may_connect().then_some(()))?;
    let mut stream = client.open(http2::Request::websocket(Stage::HOST, path)?, false)?;
    let (status, fields, body) = stream.head()?;
    ensure!(status == 200, "{status} {fields:?}");
    ensure!(!fields.contains_key("sec-websocket-accept"), "{fields:?}");
    Ok((stream, body))
}

/// All that comes up to the end of the stream.
fn http2_rest(stream: &http2::Stream, body: &mut h2::RecvStream) -> Result<String> {
    let mut text = String::new();
    while let Some(part) = stream.part(body)? {
        text.push_str(&String::from_utf8_lossy(&part));
    }
    Ok(text)
}

#[test]
fn http2_the_handshake_and_every_byte_pass() -> Result<()> {
    world(|world| {
        let client = http2::Client::connect(Stage::DOOR)?;
        let (mut stream, mut body) = http2_open(&client, "/greets")?;
        let request = world.request()?;
        ensure!(request.start == "GET /greets HTTP/1.1", "{request:?}");
        ensure!(request.list("upgrade").eq_ignore_ascii_case("websocket"), "{request:?}");
        ensure!(request.list("sec-websocket-version") == "13", "{request:?}");
        // The key is for HTTP/1.1 only: it is made here (RFC 8441 section 5).
        ensure!(request.list("sec-websocket-key").len() == 24, "{request:?}");
        stream.send("first", false)?;
        stream.send("second", true)?;
        let heard = http2_rest(&stream, &mut body)?;
        ensure!(heard == "hellofirstsecond", "{heard}");
        Ok(())
    })
}

#[test]
fn http2_a_client_that_has_ended_hears_the_last_word() -> Result<()> {
    world(|_| {
        let client = http2::Client::connect(Stage::DOOR)?;
        let (mut stream, mut body) = http2_open(&client, "/has-the-last-word")?;
        stream.send("question", true)?;
        let heard = http2_rest(&stream, &mut body)?;
        ensure!(heard == "questiongoodbye", "{heard}");
        Ok(())
    })
}

#[test]
fn http2_a_stream_that_is_reset_leaves_no_backend_waiting() -> Result<()> {
    world(|world| {
        let client = http2::Client::connect(Stage::DOOR)?;
        let (mut stream, _body) = http2_open(&client, "/silent")?;
        stream.reset(Reason::CANCEL);
        until(PROMPTLY, "the end of the backend's connection", || {
            world.backend.open().is_empty().then_some(())
        })?;
        // The connection goes on.
        http2_open(&client, "/greets").map(drop)
    })
}
