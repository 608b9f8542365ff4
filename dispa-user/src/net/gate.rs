//! A TCP stream whose bytes are judged before anyone parses them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::framing::Fault;

/// Room made for each read that does not go straight to the reader.
const CHUNK: usize = 4096;

/// Most that is read ahead of what may be passed on, a partial head aside, which has its own limit.
const READ_AHEAD: usize = 16 * 1024;

/// What becomes of the bytes that were read and not passed on yet.
#[derive(Debug, PartialEq, Eq)]
pub enum Judgement {
    /// So many of them, the first ones, are passed on. None at all, of none: the stream has ended.
    Pass(usize),
    /// So many of them, the first ones, are for nobody.
    Drop(usize),
    /// There must be more of them before anything can be said.
    More,
    /// They are kept until they are asked for another time.
    Hold,
    /// This is passed on in place of all of them.
    Replace(&'static [u8]),
    /// Nothing more can be read.
    Refuse(Fault),
}

/// Who judges a stream, and hears what becomes of it.
pub trait Judge {
    /// What becomes of `bytes`: all that was read and not passed on, maybe none.
    fn judge(&mut self, bytes: &[u8]) -> Judgement;

    /// The peer has closed its side, `left` bytes are neither passed on nor dropped.
    fn closed(&mut self, left: usize) -> Judgement;

    /// Nothing is there to be read, though more is wanted; `kept` bytes were read already.
    fn waits(&mut self, kept: usize) {
        let _ = kept;
    }

    /// A write ended like this; what is returned is what the writer hears of it. Of `offered`
    /// bytes some or all were taken.
    fn wrote(
        &mut self,
        result: Poll<io::Result<usize>>,
        offered: usize,
    ) -> Poll<io::Result<usize>> {
        let _ = offered;
        result
    }

    /// All that was written before has left.
    fn flushed(&mut self) {}

    /// Bytes of our own, to be written between two messages.
    fn ours(&mut self) -> Option<Bytes> {
        None
    }
}

/// A stream and its judge.
#[derive(Debug)]
pub struct Gate<J> {
    stream: TcpStream,
    judge: J,
    /// Read and not passed on.
    kept: BytesMut,
    /// How many of the kept bytes may be passed on.
    passing: usize,
    closed: bool,
    /// What was written of ours is torn: nobody can make sense of what would follow.
    torn: bool,
}

impl<J: Judge> Gate<J> {
    /// A stream of which `seen` was read already.
    pub fn new(stream: TcpStream, seen: BytesMut, judge: J) -> Self {
        Self { stream, judge, kept: seen, passing: 0, closed: false, torn: false }
    }

    /// The stream itself.
    pub const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The judge.
    pub fn judge_mut(&mut self) -> &mut J {
        &mut self.judge
    }

    /// What was read and not passed on.
    pub fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// The stream, and what was read from it and not passed on.
    pub fn into_parts(self) -> (TcpStream, Bytes) {
        (self.stream, self.kept.freeze())
    }

    /// Reads into the kept bytes; `false` where the peer has closed its side. Cancel safe.
    pub fn poll_keep(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.kept.reserve(CHUNK);
        let mut unfilled = bytes::BufMut::limit(&mut self.kept, READ_AHEAD);
        let read = tokio::io::AsyncReadExt::read_buf(&mut self.stream, &mut unfilled);
        let read = ready!(std::pin::pin!(read).poll(context))?;
        self.closed |= read == 0;
        Poll::Ready(Ok(read > 0))
    }

    /// Writes what is to stand between two messages. It is dropped where it cannot be written at
    /// once: nobody depends on it.
    fn write_ours(&mut self, context: &mut Context<'_>) {
        while let Some(bytes) = self.judge.ours() {
            match Pin::new(&mut self.stream).poll_write(context, &bytes) {
                Poll::Ready(Ok(written)) if written == bytes.len() => {}
                Poll::Ready(Ok(_) | Err(_)) => self.torn = true,
                Poll::Pending => {}
            }
        }
    }

    /// Reads into `buffer` what may be passed on of it; `None`: nothing may be, for now.
    fn poll_read_through(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<()>>> {
        let start = buffer.filled().len();
        let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) else {
            self.judge.waits(0);
            return Poll::Pending;
        };
        read?;
        let read = buffer.filled().get(start..).unwrap_or_default();
        if read.is_empty() {
            self.closed = true;
            return Poll::Ready(Ok(None));
        }
        match self.judge.judge(read) {
            Judgement::Pass(count) if count > 0 => {
                self.kept.extend_from_slice(read.get(count..).unwrap_or_default());
                buffer.set_filled(start + count);
                return Poll::Ready(Ok(Some(())));
            }
            Judgement::Pass(_) | Judgement::More | Judgement::Hold => {
                self.kept.extend_from_slice(read);
            }
            Judgement::Drop(count) => {
                self.kept.extend_from_slice(read.get(count..).unwrap_or_default());
            }
            Judgement::Replace(bytes) => self.replace(bytes),
            Judgement::Refuse(fault) => return Poll::Ready(Err(invalid(fault))),
        }
        buffer.set_filled(start);
        Poll::Ready(Ok(None))
    }

    fn replace(&mut self, bytes: &[u8]) {
        self.kept = BytesMut::from(bytes);
        self.passing = bytes.len();
    }

    fn pass(&mut self, buffer: &mut ReadBuf<'_>) {
        let count = self.passing.min(buffer.remaining()).min(self.kept.len());
        buffer.put_slice(self.kept.get(..count).unwrap_or_default());
        self.kept.advance(count);
        self.passing -= count;
        if self.kept.is_empty() {
            // Most connections never keep anything again.
            self.kept = BytesMut::new();
        }
    }
}

impl<J: Judge + Unpin> AsyncRead for Gate<J> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.write_ours(context);
        if this.torn {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        loop {
            if this.passing > 0 {
                this.pass(buffer);
                return Poll::Ready(Ok(()));
            }
            let mut judgement = this.judge.judge(&this.kept);
            if this.closed && matches!(judgement, Judgement::More | Judgement::Hold) {
                judgement = this.judge.closed(this.kept.len());
            }
            match judgement {
                Judgement::Pass(0) => return Poll::Ready(Ok(())),
                Judgement::Pass(count) => this.passing = count,
                Judgement::Drop(count) => this.kept.advance(count.min(this.kept.len())),
                Judgement::Replace(bytes) => this.replace(bytes),
                Judgement::Refuse(fault) => return Poll::Ready(Err(invalid(fault))),
                Judgement::Hold if this.closed || this.kept.len() >= READ_AHEAD => {
                    return Poll::Pending;
                }
                Judgement::Hold => {
                    ready!(this.poll_keep(context))?;
                }
                Judgement::More if this.kept.is_empty() => {
                    if ready!(this.poll_read_through(context, buffer))?.is_some() {
                        return Poll::Ready(Ok(()));
                    }
                }
                Judgement::More => match this.poll_keep(context) {
                    Poll::Ready(read) => drop(read?),
                    Poll::Pending => {
                        this.judge.waits(this.kept.len());
                        return Poll::Pending;
                    }
                },
            }
        }
    }
}

impl<J: Judge + Unpin> AsyncWrite for Gate<J> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.judge.wrote(result, bytes.len())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = match slices {
            // The system takes one in a cheaper way.
            [slice] => Pin::new(&mut this.stream).poll_write(context, slice),
            slices => Pin::new(&mut this.stream).poll_write_vectored(context, slices),
        };
        let offered = slices.iter().map(|slice| slice.len()).sum();
        this.judge.wrote(result, offered)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A TCP stream has no buffer of its own.
        self.get_mut().judge.flushed();
        Poll::Ready(Ok(()))
    }

    /// Nothing: how a connection is closed is for its owner to decide, who takes it back.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn invalid(fault: Fault) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, fault)
}
