//! Passing bytes both ways between two TCP connections, without copying them where there are many.

use std::{
    cell::{Cell, RefCell},
    io,
    net::Shutdown,
    os::fd::{AsFd, OwnedFd},
};

use nix::{
    fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice as splice_bytes},
    unistd::pipe2,
};
use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream, task::yield_now};

use super::relay::{Failure, Relayed, Side};

/// So much at once makes a stream that is worth a pipe; less is copied, which is cheaper.
const BULK: usize = 16 * 1024;

/// What a pipe is asked to hold. The system may give less (`fs.pipe-user-pages-soft`).
const PIPE: usize = 256 * 1024;

/// A stream that never pauses lets others have their turn after so many bytes.
const TURN: usize = 1024 * 1024;

/// Pipes that a worker keeps for the next stream. Only one that holds bytes belongs to a stream, so
/// that few serve thousands that are read.
const SPARE_PIPES: usize = 16;

/// Pipes that a worker has at most: streams that are not read hold theirs, and two descriptors.
/// Beyond that, bytes are copied.
const MOST_PIPES: usize = 256;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; BULK].into());
    static SPARE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
    static PIPES: Cell<usize> = const { Cell::new(0) };
}

/// Passes on `ahead`, which was read from the client already, and everything after it, until both
/// sides have closed. A side that only closes its sending half goes on receiving.
pub async fn splice(client: &TcpStream, ahead: &[u8], server: &TcpStream) -> Relayed {
    let (sent, received) = (Cell::new(0), Cell::new(0));
    let both = async {
        let up = OneWay { from: (client, Side::Client), to: (server, Side::Server), read: &sent };
        let down = OneWay { from: up.to, to: up.from, read: &received };
        tokio::try_join!(up.pass(ahead), down.pass(&[]))
    };
    let failed = both.await.err().map(Failure::Side);
    Relayed { sent: sent.get(), received: received.get(), failed }
}

/// What was passed on in one go.
enum Passed {
    Bytes(usize),
    /// There is nothing to read yet.
    Nothing,
    /// There never will be.
    End,
}

struct OneWay<'a> {
    from: (&'a TcpStream, Side),
    to: (&'a TcpStream, Side),
    /// Counts what was read.
    read: &'a Cell<u64>,
}

impl OneWay<'_> {
    /// Passes on until the end. The error is the side that broke off.
    async fn pass(&self, ahead: &[u8]) -> Result<(), Side> {
        self.count(ahead.len());
        self.write(ahead).await?;
        let (mut bulk, mut turn) = (false, 0);
        loop {
            self.from.0.readable().await.map_err(|_| self.from.1)?;
            let pipe = if bulk { Pipe::take() } else { None };
            let passed = match pipe {
                Some(pipe) => self.splice(pipe).await?,
                None => self.copy().await?,
            };
            match passed {
                Passed::Bytes(count) => {
                    bulk = count >= BULK;
                    // Pieces, however small, take their time too.
                    turn += count.max(BULK);
                }
                Passed::Nothing => {}
                Passed::End => break,
            }
            if turn >= TURN {
                turn = 0;
                yield_now().await;
            }
        }
        // A peer that has gone meanwhile shows when it is read from.
        let _ = SockRef::from(self.to.0).shutdown(Shutdown::Write);
        Ok(())
    }

    fn count(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.read.set(self.read.get().saturating_add(bytes));
    }

    /// Copies by way of a buffer that all share; only what cannot be written at once is kept apart.
    async fn copy(&self) -> Result<Passed, Side> {
        let (passed, rest) = SCRATCH.with_borrow_mut(|scratch| {
            let count = match self.from.0.try_read(scratch) {
                Ok(0) => return Ok((Passed::End, Vec::new())),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok((Passed::Nothing, Vec::new()));
                }
                Err(_) => return Err(self.from.1),
            };
            self.count(count);
            let read = scratch.get(..count).unwrap_or_default();
            let written = match self.to.0.try_write(read) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(_) => return Err(self.to.1),
            };
            Ok((Passed::Bytes(count), read.get(written..).unwrap_or_default().to_vec()))
        })?;
        self.write(&rest).await?;
        Ok(passed)
    }

    async fn write(&self, mut bytes: &[u8]) -> Result<(), Side> {
        while !bytes.is_empty() {
            self.to.0.writable().await.map_err(|_| self.to.1)?;
            match self.to.0.try_write(bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(self.to.1),
            }
        }
        Ok(())
    }

    /// Has the kernel pass on what is there. Where it says that there is nothing, or nothing more, a
    /// read has the last word: at urgent data splicing stops for ever, as if it were the end
    /// (`tcp_read_sock` in net/ipv4/tcp.c).
    async fn splice(&self, pipe: Pipe) -> Result<Passed, Side> {
        let (from, to) = (self.from.0, self.to.0);
        let enter = || match step(from, &pipe.enter) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            entered => entered,
        };
        let count = from.try_io(Interest::READABLE, enter).map_err(|_| self.from.1)?;
        if count == 0 {
            pipe.give_back();
            return self.copy().await;
        }
        self.count(count);
        let mut left = count;
        while left > 0 {
            match to.try_io(Interest::WRITABLE, || step(&pipe.leave, to)) {
                Ok(written) => left = left.saturating_sub(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    to.writable().await.map_err(|_| self.to.1)?;
                }
                Err(_) => return Err(self.to.1),
            }
        }
        pipe.give_back();
        Ok(Passed::Bytes(count))
    }
}

fn step(from: impl AsFd, to: impl AsFd) -> io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE;
    Ok(splice_bytes(from, None, to, None, PIPE, flags)?)
}

/// Where bytes are on their way between two sockets.
struct Pipe {
    enter: OwnedFd,
    leave: OwnedFd,
    /// The system gave it all the room that was asked for.
    is_large: bool,
}

impl Pipe {
    /// An empty one; `None` where there are enough, or no descriptors left.
    fn take() -> Option<Self> {
        SPARE.with_borrow_mut(Vec::pop).or_else(|| {
            if PIPES.get() >= MOST_PIPES {
                return None;
            }
            let (leave, enter) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).ok()?;
            // A smaller one does it too, in more steps.
            let size = FcntlArg::F_SETPIPE_SZ(i32::try_from(PIPE).unwrap_or(i32::MAX));
            let is_large = fcntl(&enter, size).is_ok();
            PIPES.set(PIPES.get() + 1);
            Some(Self { enter, leave, is_large })
        })
    }

    /// It is empty again.
    fn give_back(self) {
        SPARE.with_borrow_mut(|spare| {
            if self.is_large && spare.len() < SPARE_PIPES {
                spare.push(self);
            }
        });
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // A thread that ends drops its spare ones when there is no count any more.
        let _ = PIPES.try_with(|pipes| pipes.set(pipes.get().saturating_sub(1)));
    }
}

#[cfg(test)]
mod tests {
    use super::{BULK, PIPE, splice};
    use crate::net::{Failure, Relayed, Side, reset};
    use proptest::prelude::{prop_assert_eq, proptest};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
        runtime::{Builder, Runtime},
    };

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_io().build().expect("a runtime")
    }

    /// Both ends of a connection.
    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let near = TcpStream::connect(listener.local_addr().expect("bound")).await;
        let (far, _) = listener.accept().await.expect("a connection");
        (near.expect("a connection"), far)
    }

    fn bytes(length: usize, seed: u64) -> Vec<u8> {
        let mut bytes = vec![0; length];
        fastrand::Rng::with_seed(seed).fill(&mut bytes);
        bytes
    }

    /// Sends `bytes` in pieces, closes the sending half, and reads to the end.
    async fn exchange(stream: TcpStream, bytes: &[u8], piece: usize) -> Vec<u8> {
        let (mut reader, mut writer) = stream.into_split();
        let mut got = Vec::new();
        let write = async {
            for piece in bytes.chunks(piece) {
                writer.write_all(piece).await.expect("a reader");
                tokio::task::yield_now().await;
            }
            writer.shutdown().await.expect("a reader");
        };
        let ((), read) = tokio::join!(write, reader.read_to_end(&mut got));
        read.expect("an end");
        got
    }

    proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        /// However much it is and whatever the pieces, both sides get every byte in order.
        #[test]
        fn nothing_is_lost(
            ahead in 0..2 * BULK,
            sent in 0..6 * PIPE,
            received in 0..6 * PIPE,
            piece in 1000..2 * PIPE,
        ) {
            let (ahead, sent, received) = (bytes(ahead, 1), bytes(sent, 2), bytes(received, 3));
            let relayed = runtime().block_on(async {
                let ((client, near), (far, server)) = (connection().await, connection().await);
                let (relayed, back, there) = tokio::join!(
                    async {
                        let relayed = splice(&near, &ahead, &far).await;
                        drop((near, far));
                        relayed
                    },
                    exchange(client, &sent, piece),
                    exchange(server, &received, piece),
                );
                assert!(back == received);
                assert!(there == [&*ahead, &*sent].concat());
                relayed
            });
            let sent = (ahead.len() + sent.len()) as u64;
            let received = received.len() as u64;
            prop_assert_eq!(relayed, Relayed { sent, received, failed: None });
        }
    }

    /// Urgent data in the midst of a fast stream: the mark is passed over, as a read does.
    #[test]
    fn urgent_data_does_not_end_a_stream() {
        runtime().block_on(async {
            let ((mut client, near), (far, server)) = (connection().await, connection().await);
            let all = bytes(4 * PIPE, 6);
            let (relayed, (), got) = tokio::join!(
                async {
                    let relayed = splice(&near, b"", &far).await;
                    drop((near, far));
                    relayed
                },
                async {
                    client.write_all(&all).await.expect("a reader");
                    socket2::SockRef::from(&client).send_out_of_band(b"!").expect("room");
                    client.write_all(&all).await.expect("a reader");
                    client.shutdown().await.expect("a reader");
                },
                exchange(server, b"", 1000),
            );
            assert!(got == [&*all, &*all].concat());
            assert_eq!(relayed.failed, None);
        });
    }

    #[test]
    fn a_half_closed_side_goes_on_receiving() {
        runtime().block_on(async {
            let ((mut client, near), (far, mut server)) = (connection().await, connection().await);
            let answer = bytes(8 * PIPE, 7);
            tokio::join!(
                async {
                    splice(&near, b"", &far).await;
                    drop((near, far));
                },
                async {
                    client.write_all(b"question").await.expect("a reader");
                    client.shutdown().await.expect("a reader");
                    let mut got = Vec::new();
                    client.read_to_end(&mut got).await.expect("an end");
                    assert!(got == answer);
                },
                async {
                    let mut question = String::new();
                    server.read_to_string(&mut question).await.expect("an end");
                    server.write_all(&answer).await.expect("a reader");
                    server.shutdown().await.expect("a reader");
                },
            );
        });
    }

    #[test]
    fn who_breaks_off_is_named() {
        runtime().block_on(async {
            let ((client, near), (far, server)) = (connection().await, connection().await);
            let (relayed, ()) = tokio::join!(splice(&near, b"", &far), async {
                reset(server);
            });
            assert_eq!(relayed.failed, Some(Failure::Side(Side::Server)));
            drop(client);

            let ((client, near), (far, _server)) = (connection().await, connection().await);
            reset(client);
            let relayed = splice(&near, b"", &far).await;
            assert_eq!(relayed.failed, Some(Failure::Side(Side::Client)));
        });
    }

    #[test]
    fn a_peer_that_does_not_read_holds_up_who_sends() {
        runtime().block_on(async {
            let ((client, near), (far, mut server)) = (connection().await, connection().await);
            let all = bytes(32 * PIPE, 5);
            let (relayed, (), got) = tokio::join!(
                splice(&near, b"", &far),
                async {
                    let mut client = client;
                    client.write_all(&all).await.expect("a reader");
                },
                async {
                    for _ in 0..1000 {
                        tokio::task::yield_now().await;
                    }
                    let mut got = vec![0; all.len()];
                    server.read_exact(&mut got).await.expect("all of it");
                    drop(server);
                    got
                },
            );
            assert!(got == all);
            assert_eq!(relayed.sent, all.len() as u64);
        });
    }
}
