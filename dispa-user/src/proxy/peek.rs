//! Step 2: what the connection is, told from its first bytes.
//!
//! The bytes are read, not consumed: whoever takes the connection on gets them first. A client
//! that says nothing may wait for the server to speak (SMTP, SSH, MySQL): after a moment the
//! original destination is called, and whoever speaks first decides.

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

use super::{origin::Arrival, worker::Worker};
use crate::sniff::{Verdict, sniff};

/// How long a client may say nothing before its original destination is called as well.
const SILENCE: Duration = Duration::from_millis(100);

/// How long the beginning of a request may take to become a complete head.
const HEAD_LIMIT: Duration = Duration::from_secs(10);

/// Read at once; most heads are shorter.
const CHUNK: usize = 4096;

/// A connection and what is known of it.
#[derive(Debug)]
pub(super) struct Peeked {
    pub(super) stream: TcpStream,
    /// What was read from it so far.
    pub(super) prefix: Bytes,
    pub(super) verdict: Verdict,
    /// The original destination, where it was called already.
    pub(super) server: Option<TcpStream>,
}

/// Reads until the verdict is there. The error is the client's: it is gone.
pub(super) async fn peek(
    stream: TcpStream,
    arrival: &Arrival,
    worker: &Worker,
) -> io::Result<Peeked> {
    let mut peek = Peek { stream, seen: BytesMut::new() };
    match timeout(SILENCE, peek.read_some()).await {
        Ok(read) => {
            read?;
            Ok(peek.finish(None).await)
        }
        Err(_) => race(peek, arrival, worker).await,
    }
}

struct Peek {
    stream: TcpStream,
    seen: BytesMut,
}

impl Peek {
    /// Reads more; `Ok(0)` where the client has closed its side. Cancel safe.
    async fn read_some(&mut self) -> io::Result<usize> {
        self.seen.reserve(CHUNK);
        self.stream.read_buf(&mut self.seen).await
    }

    /// Reads on until the bytes tell what they are; what never does is opaque.
    async fn finish(mut self, server: Option<TcpStream>) -> Peeked {
        let end = Instant::now() + HEAD_LIMIT;
        let mut verdict = sniff(&self.seen);
        while verdict == Verdict::More {
            verdict = match timeout_at(end, self.read_some()).await {
                Ok(Ok(1..)) => sniff(&self.seen),
                Ok(Ok(0) | Err(_)) | Err(_) => Verdict::Opaque,
            };
        }
        Peeked { stream: self.stream, prefix: self.seen.freeze(), verdict, server }
    }

    /// Hands the connection on unread.
    fn opaque(self, server: Option<TcpStream>) -> Peeked {
        let prefix = self.seen.freeze();
        Peeked { stream: self.stream, prefix, verdict: Verdict::Opaque, server }
    }
}

/// Calls the original destination and waits for whoever speaks first.
async fn race(mut peek: Peek, arrival: &Arrival, worker: &Worker) -> io::Result<Peeked> {
    let dialled = tokio::select! {
        read = peek.read_some() => {
            read?;
            return Ok(peek.finish(None).await);
        }
        dialled = worker.connections.dial(arrival.origin.0, 0) => dialled,
    };
    let server = match dialled {
        Ok(server) => tokio::select! {
            read = peek.read_some() => {
                read?;
                return Ok(peek.finish(Some(server)).await);
            }
            spoke = spoke_first(&server) => spoke.then_some(server),
        },
        Err(_) => None,
    };
    if server.is_some() {
        return Ok(peek.opaque(server));
    }
    // Nobody there who speaks first. The client may yet, and then a backend may answer it; it does
    // not wait for ever, as it would not have without us.
    match timeout(worker.state.keep_alive_timeout, peek.read_some()).await {
        Ok(read) => read.map(drop)?,
        Err(_) => return Ok(peek.opaque(None)),
    }
    Ok(peek.finish(None).await)
}

/// Waits until the server says something; `false` where it closed without a word.
async fn spoke_first(server: &TcpStream) -> bool {
    let mut byte = [0];
    matches!(server.peek(&mut byte).await, Ok(1..))
}
