//! Responses with bodies of every kind, and without one.

use anyhow::{Result, ensure};
use dispa_e2e::{
    Cells, Stage,
    http1::{Client, Framing},
    http2,
};

use crate::recorder::{FINE, Recorder};

/// A backend's response, and whether it closes after it; what the client gets.
struct Case {
    name: &'static str,
    reply: &'static str,
    closes: bool,
    status: u16,
    body: &'static str,
}

const CASES: [Case; 10] = [
    Case {
        name: "204",
        reply: "HTTP/1.1 204 No Content\r\n\r\n",
        closes: false,
        status: 204,
        body: "",
    },
    Case {
        name: "304 with a length",
        reply: "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\ncontent-length: 500\r\n\r\n",
        closes: false,
        status: 304,
        body: "",
    },
    Case {
        name: "206",
        reply: "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-3/10\r\n\
                content-length: 4\r\n\r\n0123",
        closes: false,
        status: 206,
        body: "0123",
    },
    Case {
        name: "empty",
        reply: "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        closes: false,
        status: 200,
        body: "",
    },
    Case {
        name: "chunked",
        reply: "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n\
                3\r\nabc\r\n0A;x=\"y\"\r\n0123456789\r\n0\r\n\r\n",
        closes: false,
        status: 200,
        body: "abc0123456789",
    },
    Case {
        name: "chunked with trailers",
        reply: "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
                3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n",
        closes: false,
        status: 200,
        body: "abc",
    },
    Case {
        name: "ended by the connection",
        reply: "HTTP/1.1 200 OK\r\n\r\nall there is",
        closes: true,
        status: 200,
        body: "all there is",
    },
    Case {
        name: "of HTTP/1.0",
        reply: "HTTP/1.0 200 OK\r\n\r\nold",
        closes: true,
        status: 200,
        body: "old",
    },
    Case {
        name: "said to close",
        reply: "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nlast",
        closes: true,
        status: 200,
        body: "last",
    },
    Case {
        name: "no reason",
        reply: "HTTP/1.1 200 \r\ncontent-length: 1\r\n\r\nx",
        closes: false,
        status: 200,
        body: "x",
    },
];

impl Case {
    fn prepare(&self, recorder: &Recorder) {
        if self.closes {
            recorder.reply_and_close(self.reply);
        } else {
            recorder.reply(self.reply);
        }
    }

    /// A field that must pass with this response.
    fn field(&self) -> Option<(&'static str, &'static str)> {
        match self.status {
            206 => Some(("content-range", "bytes 0-3/10")),
            304 => Some(("etag", "\"a\"")),
            _ => None,
        }
    }

    fn trailers(&self) -> &'static [(&'static str, &'static str)] {
        if self.reply.contains("X-Sum") { &[("x-sum", "6")] } else { &[] }
    }
}

fn http1(case: &Case, recorder: &Recorder) -> Result<()> {
    let mut client = Client::connect(Stage::DOOR)?;
    for _ in 0..2 {
        case.prepare(recorder);
        // Who does not say so need not be sent trailers (RFC 9110 section 6.5.1).
        client.send(Recorder::get("TE: trailers\r\nConnection: TE\r\n"))?;
        let answer = client.answer()?;
        ensure!(answer.status == case.status && answer.text() == case.body, "{answer:?}");
        ensure!(answer.whole && answer.head.word(0) == "HTTP/1.1", "{answer:?}");
        let trailers: Vec<_> = answer.trailers.iter().map(|it| (&*it.0, &*it.1)).collect();
        ensure!(trailers == case.trailers(), "{answer:?}");
        if let Some((name, value)) = case.field() {
            ensure!(answer.head.list(name) == value, "{answer:?}");
        }
        let bare = answer.status == 204
            && (answer.head.has("content-length") || answer.head.has("transfer-encoding"));
        ensure!(!bare, "a 204 has no framing: {answer:?}");
        if answer.framing == Framing::Close {
            return client.ended();
        }
        recorder.reply(FINE);
        ensure!(client.get(Stage::HOST, "/next")?.text() == "fine", "what came next is not next");
    }
    Ok(())
}

fn http10(case: &Case, recorder: &Recorder) -> Result<()> {
    case.prepare(recorder);
    let mut client = Client::connect(Stage::DOOR)?;
    client.send(format!("GET / HTTP/1.0\r\nHost: {}\r\n\r\n", Stage::HOST))?;
    let answer = client.answer()?;
    ensure!(answer.status == case.status && answer.text() == case.body, "{answer:?}");
    ensure!(answer.whole && !answer.head.has("transfer-encoding"), "{answer:?}");
    client.ended()
}

fn http2(case: &Case, recorder: &Recorder) -> Result<()> {
    let client = http2::Client::connect(Stage::DOOR)?;
    case.prepare(recorder);
    let answer = client.get(Stage::HOST, "/")?;
    ensure!(answer.status == case.status && answer.text() == case.body, "{answer:?}");
    ensure!(answer.cut.is_none(), "{answer:?}");
    for name in ["transfer-encoding", "connection", "keep-alive"] {
        ensure!(answer.list(name).is_empty(), "{answer:?}");
    }
    if let Some((name, value)) = case.field() {
        ensure!(answer.list(name) == value, "{answer:?}");
    }
    let trailers = answer.trailers.clone().unwrap_or_default();
    let trailers: Vec<_> = trailers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or("")))
        .collect();
    ensure!(trailers == case.trailers(), "{answer:?}");
    recorder.reply(FINE);
    ensure!(client.get(Stage::HOST, "/next")?.text() == "fine", "what came next is not next");
    Ok(())
}

#[test]
fn responses_of_every_kind() -> Result<()> {
    Recorder::run(&Stage::config(), |recorder| {
        let mut cells = Cells::new();
        for case in &CASES {
            cells.run(format!("HTTP/1.1: {}", case.name), || http1(case, recorder));
            cells.run(format!("HTTP/1.0: {}", case.name), || http10(case, recorder));
            cells.run(format!("HTTP/2: {}", case.name), || http2(case, recorder));
        }
        cells.verdict()
    })
}

#[test]
fn an_http_1_0_client_may_keep_its_connection() -> Result<()> {
    Recorder::run(&Stage::config(), |recorder| {
        recorder.reply(FINE);
        let mut client = Client::connect(Stage::DOOR)?;
        let host = Stage::HOST;
        client.send(format!("GET / HTTP/1.0\r\nHost: {host}\r\nConnection: keep-alive\r\n\r\n"))?;
        let answer = client.answer()?;
        ensure!(answer.text() == "fine" && answer.whole, "{answer:?}");
        // Either it says so and goes on, or it closes.
        if answer.head.list("connection").eq_ignore_ascii_case("keep-alive") {
            client.send(format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n"))?;
            ensure!(client.answer()?.text() == "fine");
        }
        client.ended()
    })
}
