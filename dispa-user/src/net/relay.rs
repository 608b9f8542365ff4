//! Copying bytes both ways between two streams, of whatever kind.

use std::{
    cell::Cell,
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes},
    net::TcpStream,
    time::{Instant, timeout_at},
};

/// Buffer of each direction: enough to keep a fast stream busy with few system calls.
const BUFFER: usize = 32 * 1024;

/// A relayed connection may be silent for hours; this long after the last byte its ends are asked
/// whether they are still there, as the client's own keep-alive would have done without us.
const KEEP_ALIVE: Duration = Duration::from_mins(2);

/// An end of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who connected.
    Client,
    /// Who was connected to.
    Server,
}

/// Why a relay did not end in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// This side broke off.
    Side(Side),
    /// Neither side said anything for too long.
    Idle,
}

/// What a relay carried, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// Bytes read from the client.
    pub sent: u64,
    /// Bytes read from the server.
    pub received: u64,
    /// `None` where both closed in order.
    pub failed: Option<Failure>,
}

/// Copies until both sides have closed, or neither has said anything for `idle`. A side that only
/// closes its sending half goes on receiving.
pub async fn relay<C, S>(client: &mut C, server: &mut S, idle: Duration) -> Relayed
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let moved = Cell::new(Instant::now());
    let mut client = Watched::new(client, &moved);
    let mut server = Watched::new(server, &moved);
    let copied = {
        let copy = copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER, BUFFER);
        let mut copy = pin!(copy);
        loop {
            let last = moved.get();
            match timeout_at(last + idle, copy.as_mut()).await {
                Ok(copied) => break Some(copied),
                Err(_) if moved.get() > last => {}
                Err(_) => break None,
            }
        }
    };
    let failed = match copied {
        Some(Ok(_)) => None,
        Some(Err(_)) if server.failed => Some(Failure::Side(Side::Server)),
        Some(Err(_)) => Some(Failure::Side(Side::Client)),
        None => Some(Failure::Idle),
    };
    Relayed { sent: client.read, received: server.read, failed }
}

/// Closes a connection the way a failed one ends, by a reset: the peer must not take what it got
/// so far for the whole.
pub fn reset(stream: TcpStream) {
    // Where it cannot be set, the connection is closed in the ordinary way.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    drop(stream);
}

/// Has the ends of a connection asked now and then whether they are still there.
pub fn keep_alive(stream: &TcpStream) {
    let every = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE / 4);
    // Without it a vanished peer is noticed later.
    let _ = SockRef::from(stream).set_tcp_keepalive(&every);
}

/// Counts what is read and notes failure.
struct Watched<'a, S> {
    inner: &'a mut S,
    moved: &'a Cell<Instant>,
    read: u64,
    failed: bool,
}

impl<'a, S> Watched<'a, S> {
    fn new(inner: &'a mut S, moved: &'a Cell<Instant>) -> Self {
        Self { inner, moved, read: 0, failed: false }
    }

    fn note<T>(&mut self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.failed |= matches!(result, Poll::Ready(Err(_)));
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut *self.inner).poll_read(context, buffer);
        let read = buffer.filled().len().saturating_sub(before);
        if read > 0 {
            self.moved.set(Instant::now());
        }
        self.read = self.read.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        self.note(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut *self.inner).poll_write(context, bytes);
        self.note(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut *self.inner).poll_flush(context);
        self.note(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut *self.inner).poll_shutdown(context);
        self.note(result)
    }
}

#[cfg(test)]
mod tests {
    use super::{Relayed, relay};
    use crate::net::Prefixed;
    use proptest::prelude::{any, prop_assert_eq, proptest};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_half_closed_side_goes_on_receiving() {
        let (mut client, mut client_end) = duplex(64);
        let (mut server, mut server_end) = duplex(64);
        let relayed = tokio::join!(relay(&mut client_end, &mut server_end, LONG), async {
            client.write_all(b"question").await.expect("memory");
            client.shutdown().await.expect("memory");
            let mut question = String::new();
            server.read_to_string(&mut question).await.expect("memory");
            server.write_all(b"answer").await.expect("memory");
            server.shutdown().await.expect("memory");
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.expect("memory");
            assert_eq!((&*question, &*answer), ("question", "answer"));
        })
        .0;
        assert_eq!(relayed, Relayed { sent: 8, received: 6, failed: None });
    }

    proptest! {
        /// Whatever was read ahead and whatever the reads, both sides get every byte in order.
        #[test]
        fn nothing_is_lost_whatever_the_split_of_the_bytes(
            ahead in proptest::collection::vec(any::<u8>(), 0..600),
            sent in proptest::collection::vec(any::<u8>(), 0..3000),
            received in proptest::collection::vec(any::<u8>(), 0..3000),
            step in 1..200_usize,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            let relayed = runtime.block_on(async {
                let (client, client_end) = duplex(step);
                let (server, mut server_end) = duplex(step);
                let mut client_end = Prefixed::new(ahead.clone().into(), client_end);
                let (relayed, back, there) = tokio::join!(
                    relay(&mut client_end, &mut server_end, LONG),
                    exchange(client, &sent),
                    exchange(server, &received),
                );
                assert_eq!(back, received);
                assert_eq!(there, [&*ahead, &*sent].concat());
                relayed
            });
            prop_assert_eq!(relayed.failed, None);
            prop_assert_eq!(relayed.sent, (ahead.len() + sent.len()) as u64);
            prop_assert_eq!(relayed.received, received.len() as u64);
        }
    }

    /// Sends `bytes`, closes the sending half, and reads to the end.
    async fn exchange(stream: DuplexStream, bytes: &[u8]) -> Vec<u8> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut got = Vec::new();
        let write = async {
            writer.write_all(bytes).await.expect("memory does not fail");
            writer.shutdown().await.expect("memory does not fail");
        };
        let ((), read) = tokio::join!(write, reader.read_to_end(&mut got));
        read.expect("memory does not fail");
        got
    }
}
