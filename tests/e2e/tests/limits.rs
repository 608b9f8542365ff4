//! What a client may ask for at most, and what happens to one that asks for more.

use std::{io, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{
    Cells, Gate, Stage,
    http1::{Backend, Client, Exchange},
    http2::{
        self,
        frames::{Frame, Frames, get},
    },
};
use dispa_lab::{Lab, until};
use http::Method;

const SOON: Duration = Duration::from_secs(10);

/// Answers with the path's length.
fn measure(exchange: &mut Exchange<'_>) -> io::Result<()> {
    exchange.read_all()?;
    let length = exchange.head.word(1).len().to_string();
    exchange.answer("200 OK", length)
}

/// A GET with a target and fields of these sizes.
#[derive(Clone, Copy, Debug)]
struct Shape {
    target: usize,
    fields: usize,
    value: usize,
    /// What it is answered with.
    status: u16,
}

impl Shape {
    fn path(self) -> String {
        format!("/{}", "p".repeat(self.target - 1))
    }

    /// All but Host.
    fn names(self) -> impl Iterator<Item = String> {
        (1..self.fields).map(|number| format!("x-{number}"))
    }
}

fn http1_shape(shape: Shape) -> Result<()> {
    let mut client = Client::connect(Stage::DOOR)?;
    let value = "v".repeat(shape.value);
    let lines: Vec<_> = shape.names().map(|name| format!("{name}: {value}\r\n")).collect();
    let fields = lines.concat();
    let (path, host) = (shape.path(), Stage::HOST);
    // Of a head that is too long the end may not be taken any more.
    client.fill(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n").as_bytes())?;
    let answer = client.answer()?;
    ensure!(answer.status == shape.status && answer.whole, "{answer:?}");
    if shape.status != 200 {
        return client.ended();
    }
    Ok(())
}

fn http2_shape(shape: Shape) -> Result<()> {
    let client = http2::Client::connect(Stage::DOOR)?;
    let mut request = http2::Request::new(Method::GET, Stage::HOST, &shape.path())?;
    for name in shape.names() {
        request = request.field(&name, &"v".repeat(shape.value))?;
    }
    let answer = client.open(request, true)?.answer()?;
    ensure!(answer.status == shape.status && answer.cut.is_none(), "{answer:?}");
    let next = client.get(Stage::HOST, "/")?;
    ensure!(next.status == 200, "the connection is of no more use: {next:?}");
    Ok(())
}

/// It may end the connection, as a flood does.
fn http2_endless_head() -> Result<()> {
    let client = http2::Client::connect(Stage::DOOR)?;
    let request = http2::Request::new(Method::GET, Stage::HOST, "/too-long")?;
    let request = request.field("x-long", &"v".repeat(100_000))?;
    match client.open(request, true).and_then(|mut stream| stream.answer()) {
        Ok(answer) => ensure!(answer.status == 431, "{answer:?}"),
        Err(error) => until(SOON, "the end of the connection", || client.is_over().then_some(()))
            .with_context(|| format!("{error:#}"))?,
    }
    Ok(())
}

const LIMITS: &str = "max_header_bytes = 4096\nmax_headers = 20\nmax_target_bytes = 1024";

#[test]
fn heads_within_and_past_the_limits() -> Result<()> {
    let shapes = [
        Shape { target: 1024, fields: 5, value: 10, status: 200 },
        Shape { target: 1025, fields: 5, value: 10, status: 414 },
        Shape { target: 3000, fields: 5, value: 10, status: 414 },
        Shape { target: 10, fields: 5, value: 700, status: 200 },
        Shape { target: 10, fields: 7, value: 700, status: 431 },
        Shape { target: 10, fields: 3, value: 4000, status: 431 },
        Shape { target: 10, fields: 10, value: 10, status: 200 },
        Shape { target: 10, fields: 30, value: 10, status: 431 },
    ];
    Lab::run(|lab| {
        let backend = Backend::start(Stage::BACKEND, measure)?;
        let _stage = Stage::start(lab, &Stage::http(LIMITS))?;
        let mut cells = Cells::new();
        for shape in shapes {
            cells.run(format!("HTTP/1.1 {shape:?}"), || http1_shape(shape));
            cells.run(format!("HTTP/2 {shape:?}"), || http2_shape(shape));
        }
        for (fields, value, status) in [(20, 1, 200), (21, 1, 431), (3, 100_000, 431)] {
            let shape = Shape { target: 10, fields, value, status };
            cells.run(format!("HTTP/1.1 {shape:?}"), || http1_shape(shape));
        }
        cells.run("HTTP/2, so long that it must be continued", http2_endless_head);
        cells.verdict()?;
        let most = backend.seen().iter().map(|seen| seen.head.word(1).len()).max();
        ensure!(most == Some(1024), "something too long was forwarded: {most:?}");
        ensure!(backend.seen_for("/too-long").is_empty(), "something too long was forwarded");
        Ok(())
    })
}

/// Holds `/held` until the gate is opened; answers with the path.
fn hold(exchange: &mut Exchange<'_>, gate: &Gate) -> io::Result<()> {
    let path = exchange.head.word(1).to_owned();
    if path.starts_with("/held") {
        gate.wait();
    }
    exchange.answer("200 OK", path)
}

/// A daemon whose backend holds requests.
fn held<T: Send>(
    sections: &str,
    test: impl FnOnce(&Stage, &Backend, &Gate) -> Result<T> + Send,
) -> Result<T> {
    Lab::run(|lab| {
        let gate = Arc::new(Gate::new());
        let waiting = Arc::clone(&gate);
        let backend = Backend::start(Stage::BACKEND, move |exchange| hold(exchange, &waiting))?;
        let stage = Stage::start(lab, &Stage::config().sections(sections))?;
        test(&stage, &backend, &gate)
    })
}

fn ask(stream: u32, path: &str) -> Frame {
    let flags = Frame::END_STREAM | Frame::END_HEADERS;
    Frame::new(Frame::HEADERS, flags, stream, get(Stage::HOST, path))
}

/// `REFUSED_STREAM` (RFC 9113 section 7).
const REFUSED_STREAM: u32 = 7;
/// SETTINGS' identifier of the most streams at once (RFC 9113 section 6.5.2).
const MAX_CONCURRENT_STREAMS: u16 = 3;

/// What SETTINGS say of one parameter.
fn setting(frame: &Frame, name: u16) -> Option<u32> {
    let pairs = frame.payload.chunks_exact(6);
    let mut own = pairs.filter(|pair| pair[..2] == name.to_be_bytes());
    own.next().map(|pair| u32::from_be_bytes([pair[2], pair[3], pair[4], pair[5]]))
}

#[test]
fn one_stream_too_many_is_refused_and_the_others_go_on() -> Result<()> {
    held("[http]\nmax_streams = 4", |_, _, gate| {
        let mut frames = Frames::connect(Stage::DOOR)?;
        let said = frames.until(|frame| frame.kind == Frame::SETTINGS && frame.flags & 1 == 0)?;
        let said = said.last().and_then(|frame| setting(frame, MAX_CONCURRENT_STREAMS));
        ensure!(said == Some(4), "{said:?}");
        let paths = ["/held/1", "/held/3", "/held/5", "/held/7"];
        let asked: Vec<_> = (1..).step_by(2).zip(paths).map(|it| ask(it.0, it.1)).collect();
        frames.send(&asked)?;
        until(SOON, "four requests", || (gate.waiting() == 4).then_some(()))?;
        frames.send(&[ask(9, "/too-many")])?;
        let refused = frames.until(|it| it.kind == Frame::RST_STREAM && it.stream == 9)?;
        let code = refused.last().and_then(Frame::code);
        ensure!(code == Some(REFUSED_STREAM), "{code:?}");
        gate.open();
        let mut left = 4;
        let answers = frames.until(|frame| {
            let ends = matches!(frame.kind, Frame::DATA | Frame::HEADERS) && frame.flags & 1 == 1;
            left -= usize::from(ends);
            left == 0
        })?;
        for (stream, path) in (1..).step_by(2).zip(paths) {
            let body = Frames::data(&answers, stream);
            ensure!(body == path.as_bytes(), "stream {stream}: {body:?}");
        }
        frames.send(&[ask(11, "/again")])?;
        let answer = frames.until(|it| it.kind == Frame::DATA && it.stream == 11)?;
        ensure!(Frames::data(&answer, 11) == b"/again");
        Ok(())
    })
}

/// `CANCEL`.
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// Requests that are reset as soon as they are sent.
fn rapid(streams: std::ops::Range<u32>, path: &str) -> Vec<Frame> {
    let odd = streams.map(|number| 2 * number + 1);
    let pair =
        |stream| [ask(stream, path), Frame::new(Frame::RST_STREAM, 0, stream, CANCEL.to_vec())];
    odd.flat_map(pair).collect()
}

#[test]
fn too_many_resets_end_that_connection_and_nothing_else() -> Result<()> {
    held("[http]\nmax_resets = 20", |stage, backend, gate| {
        let base = stage.descriptors()?;
        let other = http2::Client::connect(Stage::DOOR)?;
        let mut waiting =
            other.open(http2::Request::new(Method::GET, Stage::HOST, "/held/other")?, true)?;
        until(SOON, "the other's request", || (gate.waiting() >= 1).then_some(()))?;

        let mut few = Frames::connect(Stage::DOOR)?;
        few.send(&rapid(0..10, "/held/few"))?;
        few.send(&[ask(99, "/few")])?;
        let answer = few.until(|it| it.kind == Frame::DATA && it.stream == 99)?;
        ensure!(Frames::data(&answer, 99) == b"/few", "a few resets ended the connection");

        let mut many = Frames::connect(Stage::DOOR)?;
        // Its end may come while this is still being sent.
        let _ = many.send(&rapid(0..500, "/held/many"));
        many.rest()?;

        gate.open();
        ensure!(waiting.answer()?.text() == "/held/other");
        ensure!(other.get(Stage::HOST, "/after")?.text() == "/after");
        drop((other, few, many));
        let reached = backend.seen_for("/held/many").len();
        ensure!(reached <= 21, "{reached} of the requests that were reset reached the backend");
        stage.settles_at(|| base + backend.open().len())
    })
}

/// Requests at once, many times what the backend may see.
const MANY: usize = 40;
const MOST: usize = 4;

#[test]
fn requests_wait_for_a_connection_where_there_may_be_no_more() -> Result<()> {
    let keys = format!("[targets.connections]\nmax_per_target = {MOST}");
    held(&keys, |_, backend, gate| {
        let mut clients = Vec::new();
        for number in 0..MANY {
            let mut client = Client::connect(Stage::DOOR)?;
            client.send(Stage::get(&format!("/held/{number}")))?;
            clients.push(client);
        }
        // Each worker has two, and more than two clients but for a chance of one in millions.
        until(SOON, "as many as may be", || (gate.waiting() == MOST).then_some(()))?;
        gate.open();
        for (number, client) in clients.iter_mut().enumerate() {
            let answer = client.answer()?;
            let text = answer.text();
            ensure!(answer.status == 200 && text == format!("/held/{number}"), "{answer:?}");
        }
        ensure!(backend.most_open() <= MOST, "{} connections at once", backend.most_open());
        Ok(())
    })
}

#[test]
fn a_worker_has_its_share_of_the_connections() -> Result<()> {
    let keys = format!("[targets.connections]\nmax_per_target = {MOST}");
    held(&keys, |_, backend, gate| {
        // One client connection: one of two workers.
        let client = http2::Client::connect(Stage::DOOR)?;
        let mut streams = Vec::new();
        for number in 0..MANY {
            let path = format!("/held/{number}");
            let request = http2::Request::new(Method::GET, Stage::HOST, &path)?;
            streams.push(client.open(request, true)?);
        }
        until(SOON, "the share of a worker", || (gate.waiting() == MOST / 2).then_some(()))?;
        gate.open();
        for (number, stream) in streams.iter_mut().enumerate() {
            let answer = stream.answer().with_context(|| format!("stream {number}"))?;
            ensure!(answer.text() == format!("/held/{number}"), "{answer:?}");
        }
        let most = backend.most_open();
        ensure!(most == MOST / 2, "{most} connections at once");
        Ok(())
    })
}
