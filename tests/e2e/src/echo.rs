//! A WebSocket that stays open, and the backend that it leads to.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dispa_lab::Config;

use crate::http1::Backend;

const SOON: Duration = Duration::from_secs(30);

/// A connection that has left HTTP.
#[derive(Debug)]
pub struct EchoSocket(TcpStream);

impl EchoSocket {
    /// Opens one at the explicit door, for this host.
    pub fn begin(host: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(Config::EXPLICIT_DOOR)?;
        stream.set_read_timeout(Some(SOON))?;
        let request = format!(
            "GET /echo HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        stream.write_all(request.as_bytes())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).context("no answer to an upgrade")?;
            head.extend(byte);
        }
        let head = String::from_utf8_lossy(&head);
        ensure!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Ok(Self(stream))
    }

    /// What is said comes back.
    pub fn says(&mut self, turn: u32) -> Result<()> {
        let said = turn.to_be_bytes();
        self.0.write_all(&said)?;
        let mut heard = [0; 4];
        self.0.read_exact(&mut heard).context("a WebSocket was cut")?;
        ensure!(heard == said, "{heard:?} for {said:?}");
        Ok(())
    }
}

/// Sends back what comes, once the protocol is changed.
pub fn echo_backend(address: SocketAddr) -> Result<Backend> {
    Backend::start(address, |exchange| {
        exchange.switch("")?;
        loop {
            let bytes = exchange.receive()?;
            if bytes.is_empty() {
                return exchange.finish();
            }
            exchange.send(bytes)?;
        }
    })
}
