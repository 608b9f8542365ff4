//! A server of bodies as large as one likes, made of nothing and kept nowhere.

use std::{
    io::{self, BufReader, Read as _, Write as _},
    net::SocketAddr,
};

use anyhow::Result;
use dispa_lab::{Connection, TcpServer};

/// Bytes written at a time, and read.
const BLOCK: usize = 256 * 1024;
const READ: usize = 64 * 1024;

/// The server; dropping it ends it.
#[derive(Debug)]
pub struct ZeroServer {
    _server: TcpServer,
}

impl ZeroServer {
    /// Listens on `address`. `GET /N` is answered with N zeros; any other request with the length
    /// of its body, which is read and thrown away, and a line end.
    pub fn start(address: SocketAddr) -> Result<Self> {
        Ok(Self { _server: TcpServer::start(&[address], serve)? })
    }
}

fn serve(connection: &Connection) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(READ, &*connection.stream);
    while let Some((path, length)) = read_head(&mut reader)? {
        let mut stream = &*connection.stream;
        if let Ok(zeros) = path.parse::<u64>() {
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {zeros}\r\n\r\n")?;
            write_zeros(zeros, stream)?;
        } else {
            let read = io::copy(&mut reader.by_ref().take(length), &mut io::sink())?;
            let told = format!("{read}\n");
            let length = told.len();
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{told}")?;
        }
    }
    Ok(())
}

fn write_zeros(mut left: u64, mut stream: impl io::Write) -> io::Result<()> {
    // In the program's own data: a thousand connections have no thousand blocks.
    static ZEROS: [u8; BLOCK] = [0; BLOCK];
    while left > 0 {
        let size = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
        stream.write_all(&ZEROS[..size])?;
        left -= size as u64;
    }
    Ok(())
}

/// What a request asks for: its path without the first byte, and the length of its body.
fn read_head(reader: &mut impl io::BufRead) -> io::Result<Option<(String, u64)>> {
    let (mut first, mut length) = (String::new(), 0);
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let path = first.split(' ').nth(1).and_then(|target| target.get(1..)).unwrap_or_default();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end().to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        if line.is_empty() {
            return Ok(Some((path.to_owned(), length)));
        }
    }
}
