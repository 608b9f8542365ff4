//! One request at a backend, and the hand that answers it.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha1::{Digest as _, Sha1};
use socket2::SockRef;

use super::{
    body::{Body, BodyReader, is_cut},
    head::Head,
};

/// What a key is hashed with (RFC 6455 section 1.3).
const WEBSOCKET: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a handler answers to, and with.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// Its connection, counted from 1.
    pub connection: u64,
    /// Its place among the requests of its connection, counted from 1.
    pub order: u64,
    /// Its head.
    pub head: Head,
    pub(super) body: BodyReader,
    pub(super) reader: BufReader<&'a TcpStream>,
    pub(super) closing: bool,
}

impl Exchange<'_> {
    /// Reads until this many bytes of the body have been read in all, or its end.
    pub fn read(&mut self, length: usize) -> io::Result<()> {
        self.body.read(&mut self.reader, length)
    }

    /// Reads the body to its end.
    pub fn read_all(&mut self) -> io::Result<&Body> {
        self.read(usize::MAX)?;
        Ok(self.body.body())
    }

    /// What has been read of the body.
    #[must_use]
    pub fn body(&self) -> &Body {
        self.body.body()
    }

    /// Writes all of `bytes`.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream().write_all(bytes.as_ref())
    }

    /// Sends a response with a length.
    pub fn answer(&mut self, status: &str, body: impl AsRef<[u8]>) -> io::Result<()> {
        let body = body.as_ref();
        let mut bytes =
            format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(body);
        self.send(bytes)
    }

    /// Changes to WebSocket (RFC 6455 section 4.2.2), and sends `bytes` right behind.
    pub fn switch(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let key = self.head.field("sec-websocket-key").unwrap_or_default();
        let accept = BASE64_STANDARD.encode(Sha1::digest(format!("{key}{WEBSOCKET}")));
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.send([head.as_bytes(), bytes.as_ref()].concat())
    }

    /// Takes the next bytes, whatever they are; none at the end of the stream.
    pub fn receive(&mut self) -> io::Result<Vec<u8>> {
        let bytes = self.reader.fill_buf()?.to_vec();
        self.reader.consume(bytes.len());
        Ok(bytes)
    }

    /// Sends nothing more on this connection (FIN), and takes no other request from it.
    pub fn finish(&mut self) -> io::Result<()> {
        self.closing = true;
        self.stream().shutdown(Shutdown::Write)
    }

    /// Closes the connection once the handler returns: with RST if something was not read, else
    /// with FIN.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Breaks the connection off (RST) once the handler returns.
    pub fn reset(&mut self) -> io::Result<()> {
        self.closing = true;
        SockRef::from(self.stream()).set_linger(Some(Duration::ZERO))
    }

    /// Waits for the peer to end the connection; what it sends until then is lost.
    pub fn until_gone(&mut self) -> io::Result<()> {
        self.closing = true;
        loop {
            match self.receive() {
                Ok(bytes) if bytes.is_empty() => return Ok(()),
                Err(error) if is_cut(&error) => return Ok(()),
                received => received?,
            };
        }
    }

    /// The connection.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }
}
