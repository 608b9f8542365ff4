//! A server that answers every request with its name.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use anyhow::{Context as _, Result};

/// Starts one; it serves for as long as the machine runs.
pub(crate) fn start(name: &'static str, address: SocketAddr) -> Result<()> {
    let listener =
        TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    thread::spawn(move || {
        for stream in listener.incoming() {
            if let Err(error) = stream.and_then(|stream| answer(name, &stream)) {
                println!("{name}: {error}");
            }
        }
    });
    Ok(())
}

/// Reads the head of a request, answers, and closes.
fn answer(name: &str, mut stream: &TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    stream.write_all(response(name).as_bytes())
}

/// All that it answers.
pub(crate) fn response(name: &str) -> String {
    let length = name.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{name}")
}
