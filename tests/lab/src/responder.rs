//! A DNS server that answers whatever a test makes it answer, over UDP and TCP.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};

use crate::tcp::TcpServer;

/// How soon the UDP threads see that they are to stop.
const STOP_CHECK: Duration = Duration::from_millis(20);

/// The most a UDP datagram can carry.
const LARGEST_DATAGRAM: usize = 65_535;

/// Bytes of questions that may wait: a responder loses none, so that every loss is another's.
const BACKLOG: usize = 8 << 20;

/// A message that arrived, and the way back.
#[derive(Clone, Debug)]
pub struct Asking {
    /// Its bytes.
    pub message: Vec<u8>,
    /// Who sent it.
    pub peer: SocketAddr,
    way: Way,
}

#[derive(Clone, Debug)]
enum Way {
    Datagram(Arc<UdpSocket>),
    Stream(Arc<Mutex<Arc<TcpStream>>>),
}

impl Asking {
    /// Sends a message to whoever asked; as often as one likes, and as late.
    pub fn reply(&self, message: &[u8]) {
        // One who has gone does not need the answer.
        let _ = match &self.way {
            Way::Datagram(socket) => socket.send_to(message, self.peer).map(drop),
            Way::Stream(stream) => send(stream, message),
        };
    }

    /// Whether it came over TCP.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        matches!(self.way, Way::Stream(_))
    }
}

/// Each message comes after its length in two bytes (RFC 1035 section 4.2.2).
fn send(stream: &Mutex<Arc<TcpStream>>, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
    (&**stream).write_all(&[&length.to_be_bytes()[..], message].concat())
}

/// The server; dropping it stops it.
#[derive(Debug)]
pub struct Responder {
    stop: Arc<AtomicBool>,
    datagrams: Vec<JoinHandle<()>>,
    _streams: TcpServer,
}

impl Responder {
    /// Listens on all of `addresses` and gives `answer` every message that comes. Datagrams of one
    /// address are given one at a time; whoever wants to reply later does it on another thread.
    pub fn start(
        addresses: &[SocketAddr],
        answer: impl Fn(&Asking) + Send + Sync + 'static,
    ) -> Result<Self> {
        let answer = Arc::new(answer);
        let stop = Arc::new(AtomicBool::new(false));
        let mut datagrams = Vec::new();
        for address in addresses {
            let socket = UdpSocket::bind(address).with_context(|| format!("UDP {address}"))?;
            socket.set_read_timeout(Some(STOP_CHECK))?;
            setsockopt(&socket, RcvBufForce, &BACKLOG)?;
            let serving = (Arc::new(socket), Arc::clone(&answer), Arc::clone(&stop));
            datagrams.push(thread::spawn(move || {
                serve_datagrams(&serving.0, &*serving.1, &serving.2);
            }));
        }
        let streams = TcpServer::start(addresses, move |connection| {
            serve_stream(&connection.stream, connection.peer, &*answer)
        })?;
        Ok(Self { stop, datagrams, _streams: streams })
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.datagrams.drain(..) {
            let _ = thread.join();
        }
    }
}

fn serve_datagrams(socket: &Arc<UdpSocket>, answer: &dyn Fn(&Asking), stop: &AtomicBool) {
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
        let way = Way::Datagram(Arc::clone(socket));
        answer(&Asking { message: buffer[..length].to_vec(), peer, way });
    }
}

fn serve_stream(
    stream: &Arc<TcpStream>,
    peer: SocketAddr,
    answer: &dyn Fn(&Asking),
) -> io::Result<()> {
    let way = Way::Stream(Arc::new(Mutex::new(Arc::clone(stream))));
    loop {
        let mut length = [0; 2];
        (&**stream).read_exact(&mut length)?;
        let mut message = vec![0; u16::from_be_bytes(length).into()];
        (&**stream).read_exact(&mut message)?;
        answer(&Asking { message, peer, way: way.clone() });
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{SocketAddr, TcpStream, UdpSocket},
        time::Duration,
    };

    use anyhow::Result;

    use super::Responder;
    use crate::lab::Lab;

    #[test]
    fn it_replies_as_often_as_it_is_made_to_over_both_protocols() -> Result<()> {
        Lab::run(|_| {
            let address: SocketAddr = "127.0.0.1:53".parse()?;
            let _responder = Responder::start(&[address], |asking| {
                asking.reply(&asking.message);
                asking.reply(if asking.is_stream() { b"stream" } else { b"datagram" });
            })?;
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.set_read_timeout(Some(Duration::from_secs(20)))?;
            socket.connect(address)?;
            socket.send(b"question")?;
            for expected in [&b"question"[..], b"datagram"] {
                let mut buffer = [0; 100];
                let length = socket.recv(&mut buffer)?;
                assert_eq!(&buffer[..length], expected);
            }
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(b"\0\x08question")?;
            let mut replies = [0; 18];
            stream.read_exact(&mut replies)?;
            assert_eq!(&replies, b"\0\x08question\0\x06stream");
            Ok(())
        })
    }
}
