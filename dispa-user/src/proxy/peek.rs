//! Step 2: what the connection is, told from its first bytes.
//!
//! The bytes are read, not consumed: whoever takes the connection on gets them first. A client
//! that says nothing may wait for the server to speak (SMTP, SSH, MySQL): after a moment the
//! original destination is called, and whoever speaks first decides.

use std::{io, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

use super::{origin::Arrival, worker::Worker};
use crate::{
    sniff::{Verdict, http1_begun, http2_host, sniff},
    types::HostName,
};

/// How long a client may say nothing before its original destination is called as well.
const SILENCE: Duration = Duration::from_millis(100);

/// How much of an HTTP/2 connection is looked at for its first request.
const LONGEST_HTTP2: usize = 64 * 1024;

/// Read at once; most heads are shorter.
const CHUNK: usize = 4096;

/// A connection and what is known of it.
#[derive(Debug)]
pub(super) struct Peeked {
    pub(super) stream: TcpStream,
    /// What was read from it so far.
    pub(super) prefix: BytesMut,
    pub(super) verdict: Verdict,
    /// The host of its first request, where it speaks HTTP/2 and has made one.
    pub(super) http2_host: Option<HostName>,
    /// The original destination, where it was called already.
    pub(super) server: Option<TcpStream>,
    /// The request did not become whole in time.
    pub(super) late: bool,
}

impl Peeked {
    /// A connection that nobody looks at.
    pub(super) fn unread(stream: TcpStream) -> Self {
        let (prefix, verdict) = (BytesMut::new(), Verdict::Opaque);
        Self { stream, prefix, verdict, http2_host: None, server: None, late: false }
    }
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
            Ok(peek.finish(None, worker).await)
        }
        Err(_) => race(peek, arrival, worker).await,
    }
}

/// What a client of the explicit door speaks, and what was read of it.
pub(super) enum Spoken {
    Http1(TcpStream, BytesMut),
    Http2(TcpStream, BytesMut),
}

/// How long a connection that was made before the daemon drained may take to ask something.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// Reads until it shows which HTTP a client of the explicit door speaks; whatever is no HTTP/2 is
/// taken for HTTP/1, which will say what it thinks of it. `None`: it is gone, or it says nothing.
pub(super) async fn http(stream: TcpStream, worker: &Worker) -> Option<Spoken> {
    let mut peek = Peek { stream, seen: BytesMut::new() };
    let begun = async {
        peek.stream.readable().await.ok()?;
        let end = Instant::now() + worker.state().http.header_timeout;
        loop {
            match timeout_at(end, peek.read_some()).await {
                Ok(Ok(1..)) if may_be_http2(&peek.seen) => {
                    if sniff(&peek.seen) == Verdict::Http2 {
                        return Some(Spoken::Http2(peek.stream, peek.seen));
                    }
                }
                Ok(Ok(0)) if peek.seen.is_empty() => return None,
                Ok(Ok(_)) | Err(_) => return Some(Spoken::Http1(peek.stream, peek.seen)),
                Ok(Err(_)) => return None,
            }
        }
    };
    tokio::select! {
        begun = timeout(worker.state().keep_alive_timeout, begun) => begun.ok().flatten(),
        () = worker.begins_nothing_new(FIRST_REQUEST) => None,
    }
}

/// No method of HTTP/1 is PRI.
fn may_be_http2(seen: &[u8]) -> bool {
    let preface = b"PRI * HTTP/2.0";
    seen.starts_with(preface) || preface.starts_with(seen)
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

    /// Reads on until the bytes tell what they are; what never does is opaque, but for a request that
    /// has named its host already.
    async fn finish(mut self, server: Option<TcpStream>, worker: &Worker) -> Peeked {
        let end = Instant::now() + worker.state().http.header_timeout;
        let mut verdict = sniff(&self.seen);
        let mut late = false;
        while verdict == Verdict::More {
            verdict = match timeout_at(end, self.read_some()).await {
                Ok(Ok(1..)) => sniff(&self.seen),
                Ok(Ok(0) | Err(_)) => Verdict::Opaque,
                Err(_) => {
                    late = true;
                    http1_begun(&self.seen).map_or(Verdict::Opaque, Verdict::Http1)
                }
            };
        }
        let http2_host = if verdict == Verdict::Http2 { self.http2_host().await } else { None };
        Peeked { stream: self.stream, prefix: self.seen, verdict, http2_host, server, late }
    }

    /// Waits a moment for the first request. Some clients make none before the server has spoken.
    async fn http2_host(&mut self) -> Option<HostName> {
        let end = Instant::now() + SILENCE;
        loop {
            if let Some(host) = http2_host(&self.seen) {
                return Some(host);
            }
            let room = self.seen.len() < LONGEST_HTTP2;
            match timeout_at(end, self.read_some()).await {
                Ok(Ok(1..)) if room => {}
                Ok(_) | Err(_) => return None,
            }
        }
    }

    /// Hands the connection on unread.
    fn opaque(self, server: Option<TcpStream>) -> Peeked {
        let (prefix, verdict) = (self.seen, Verdict::Opaque);
        Peeked { stream: self.stream, prefix, verdict, http2_host: None, server, late: false }
    }
}

/// Calls the original destination and waits for whoever speaks first.
async fn race(mut peek: Peek, arrival: &Arrival, worker: &Worker) -> io::Result<Peeked> {
    let dialled = tokio::select! {
        read = peek.read_some() => {
            read?;
            return Ok(peek.finish(None, worker).await);
        }
        dialled = worker.connections.dial(arrival.origin.0, 0) => dialled,
    };
    let server = match dialled {
        Ok(server) => tokio::select! {
            read = peek.read_some() => {
                read?;
                return Ok(peek.finish(Some(server), worker).await);
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
    match timeout(worker.state().keep_alive_timeout, peek.read_some()).await {
        Ok(read) => read.map(drop)?,
        Err(_) => return Ok(peek.opaque(None)),
    }
    Ok(peek.finish(None, worker).await)
}

/// Waits until the server says something; `false` where it closed without a word.
async fn spoke_first(server: &TcpStream) -> bool {
    let mut byte = [0];
    matches!(server.peek(&mut byte).await, Ok(1..))
}
