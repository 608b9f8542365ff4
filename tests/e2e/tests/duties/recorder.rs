//! A backend that keeps what it is sent, and answers with the bytes a test gives it.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result};
use dispa_e2e::{
    Stage,
    http1::{Answer, Backend, Body, Client, Exchange, Head},
    http2,
};
use dispa_lab::{Config, Lab};

/// What the backend answers, and what it was sent last.
#[derive(Debug, Default)]
struct Memory {
    reply: Vec<u8>,
    closes: bool,
    head: Option<Head>,
    body: Body,
}

/// A daemon and its backend.
#[derive(Debug)]
pub(crate) struct Recorder {
    memory: Arc<Mutex<Memory>>,
    _backend: Backend,
    _stage: Stage,
}

/// What most requests are answered with.
pub(crate) const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

fn record(exchange: &mut Exchange<'_>, memory: &Mutex<Memory>) -> io::Result<()> {
    if exchange.head.list("expect").eq_ignore_ascii_case("100-continue") {
        exchange.send("HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let body = exchange.read_all()?.clone();
    let (reply, closes) = {
        let mut memory = lock(memory);
        memory.head = Some(exchange.head.clone());
        memory.body = body;
        (memory.reply.clone(), memory.closes)
    };
    exchange.send(reply)?;
    if closes { exchange.finish() } else { Ok(()) }
}

impl Recorder {
    /// Runs `test` with a daemon of this configuration.
    pub(crate) fn run(
        config: &Config,
        test: impl FnOnce(&Self) -> Result<()> + Send,
    ) -> Result<()> {
        Lab::run(|lab| {
            let memory = Arc::new(Mutex::new(Memory { reply: FINE.into(), ..Memory::default() }));
            let recording = Arc::clone(&memory);
            let backend =
                Backend::start(Stage::BACKEND, move |exchange| record(exchange, &recording))?;
            let stage = Stage::start(lab, config)?;
            test(&Self { memory, _backend: backend, _stage: stage })
        })
    }

    /// From now on the backend answers this, and goes on with the connection.
    pub(crate) fn reply(&self, bytes: impl Into<Vec<u8>>) {
        let mut memory = lock(&self.memory);
        (memory.reply, memory.closes) = (bytes.into(), false);
    }

    /// From now on the backend answers this, and sends nothing more on the connection.
    pub(crate) fn reply_and_close(&self, bytes: impl Into<Vec<u8>>) {
        let mut memory = lock(&self.memory);
        (memory.reply, memory.closes) = (bytes.into(), true);
    }

    /// The head the backend was sent since the last look.
    pub(crate) fn head(&self) -> Option<Head> {
        lock(&self.memory).head.take()
    }

    /// The body the backend was sent last.
    pub(crate) fn body(&self) -> Body {
        lock(&self.memory).body.clone()
    }

    /// Sends a request on a connection of its own; what it is answered.
    pub(crate) fn answer(&self, request: impl AsRef<[u8]>) -> Result<Answer> {
        self.head();
        let mut client = Client::connect(Stage::DOOR)?;
        client.send(request)?;
        client.answer()
    }

    /// Sends a request on a connection of its own; what the backend saw of it.
    pub(crate) fn seen(&self, request: impl AsRef<[u8]>) -> Result<Head> {
        let answer = self.answer(request)?;
        self.head().with_context(|| format!("the backend saw nothing: {answer:?}"))
    }

    /// Sends a request of HTTP/2 without a body; what the backend saw of it.
    pub(crate) fn seen_of(&self, request: http2::Request) -> Result<Head> {
        self.head();
        let client = http2::Client::connect(Stage::DOOR)?;
        let answer = client.open(request, true)?.answer()?;
        self.head().with_context(|| format!("the backend saw nothing: {answer:?}"))
    }

    /// A GET with more fields: whole lines.
    pub(crate) fn get(fields: &str) -> String {
        Self::request("GET", "/", fields)
    }

    /// A request without a body, with more fields.
    pub(crate) fn request(method: &str, target: &str, fields: &str) -> String {
        format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", Stage::HOST)
    }
}
