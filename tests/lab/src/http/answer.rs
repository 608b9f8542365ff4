//! What a request is answered with.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
};

use super::request::Request;

/// Bytes of the pseudo-random body made and written at a time.
const BLOCK: usize = 64 * 1024;

#[derive(Debug)]
pub(super) enum Answer {
    /// 200 with this text.
    Text(String),
    /// 200 with this many pseudo-random bytes.
    Random(u64),
    /// 411: the body has no length, as with chunked coding, which this server does not read.
    LengthRequired,
}

impl Answer {
    /// Reads the body that follows `request` and makes the answer.
    pub(super) fn to(
        request: &Request,
        name: &str,
        body: &mut impl Read,
        mut stream: &TcpStream,
    ) -> io::Result<Self> {
        if request.header("transfer-encoding").is_some() {
            return Ok(Self::LengthRequired);
        }
        if request.expects_continue() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let body = &mut body.take(request.length()?);
        if (request.method.as_str(), request.path.as_str()) == ("POST", "/sha256") {
            return Ok(Self::Text(sha256(body)?));
        }
        io::copy(body, &mut io::sink())?;
        let count = request.path.strip_prefix("/bytes/").and_then(|count| count.parse().ok());
        Ok(count.map_or_else(|| Self::Text(format!("{name}\n")), Self::Random))
    }

    pub(super) fn write(&self, name: &str, keep: bool, mut stream: &TcpStream) -> io::Result<()> {
        let (status, length) = match self {
            Self::Text(text) => ("200 OK", text.len() as u64),
            Self::Random(count) => ("200 OK", *count),
            Self::LengthRequired => ("411 Length Required", 0),
        };
        let connection = if keep { "keep-alive" } else { "close" };
        let mut answer = format!(
            "HTTP/1.1 {status}\r\nx-backend: {name}\r\ncontent-length: {length}\r\n\
             connection: {connection}\r\n\r\n"
        );
        if let Self::Text(text) = self {
            answer.push_str(text);
        }
        stream.write_all(answer.as_bytes())?;
        match self {
            Self::Random(count) => write_random(*count, stream),
            Self::Text(_) | Self::LengthRequired => Ok(()),
        }
    }
}

/// The digest, in hexadecimal, of all that `body` holds.
fn sha256(body: &mut impl Read) -> io::Result<String> {
    let mut child =
        Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        io::copy(body, &mut stdin)?;
    }
    let output = String::from_utf8_lossy(&child.wait_with_output()?.stdout).into_owned();
    Ok(output.split_whitespace().next().unwrap_or_default().to_owned())
}

/// Writes `count` bytes of a fixed xorshift sequence (Marsaglia, 2003): no two blocks are alike.
fn write_random(mut count: u64, mut to: impl Write) -> io::Result<()> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = vec![0; BLOCK];
    while count > 0 {
        for word in block.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let length = usize::try_from(count).map_or(BLOCK, |left| left.min(BLOCK));
        to.write_all(&block[..length])?;
        count -= length as u64;
    }
    Ok(())
}
