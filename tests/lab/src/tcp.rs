//! TCP servers made of threads: one for each listener, one for each connection.

use std::{
    collections::HashMap,
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Connections that may wait to be accepted; the most `net.core.somaxconn` allows by default.
const BACKLOG: i32 = 4096;

/// Between two tries to accept while the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(5);

/// A connection a server accepted.
#[derive(Debug)]
pub struct Connection {
    /// Counted from 1, over all the listeners of the server.
    pub number: u64,
    /// Who connected.
    pub peer: SocketAddr,
    /// The address of ours that was connected to.
    pub local: SocketAddr,
    /// The bytes; `&TcpStream` reads and writes.
    pub stream: Arc<TcpStream>,
}

/// A server on one or more addresses; dropping it ends its listeners and connections at once.
#[derive(Debug)]
pub struct TcpServer {
    listeners: Vec<Arc<TcpListener>>,
    threads: Vec<JoinHandle<()>>,
    open: Arc<Open>,
}

impl TcpServer {
    /// Listens on all of `addresses` and hands each connection to `serve`, on a thread of its own.
    /// An error that `serve` returns ends that connection and nothing else.
    pub fn start<S>(addresses: &[SocketAddr], serve: S) -> Result<Self>
    where
        S: Fn(&Connection) -> io::Result<()> + Send + Sync + 'static,
    {
        let mut server = Self { listeners: vec![], threads: vec![], open: Arc::default() };
        let serve = Arc::new(serve);
        for address in addresses {
            let listener = listen(*address).with_context(|| format!("listening on {address}"))?;
            let listener = Arc::new(listener);
            server.listeners.push(Arc::clone(&listener));
            let (open, serve) = (Arc::clone(&server.open), Arc::clone(&serve));
            server.threads.push(thread::spawn(move || accept_all(&listener, &open, &serve)));
        }
        Ok(server)
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.open.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for TcpServer {
    fn drop(&mut self) {
        for listener in &self.listeners {
            // Makes accept() return at once (Linux); the listener was listening, so it cannot fail.
            let _ = SockRef::from(listener.as_ref()).shutdown(Shutdown::Both);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        for stream in self.open.streams().values() {
            // Fails where the peer has gone already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// The connections of a server.
#[derive(Debug, Default)]
struct Open {
    accepted: AtomicU64,
    streams: Mutex<HashMap<u64, Arc<TcpStream>>>,
}

impl Open {
    fn streams(&self) -> MutexGuard<'_, HashMap<u64, Arc<TcpStream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr) -> io::Result<Connection> {
        let number = self.accepted.fetch_add(1, Ordering::Relaxed) + 1;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        let stream = Arc::new(stream);
        self.streams().insert(number, Arc::clone(&stream));
        Ok(Connection { number, peer, local, stream })
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until the listener is shut down, which shows as `EINVAL`.
fn accept_all<S>(listener: &TcpListener, open: &Arc<Open>, serve: &Arc<S>)
where
    S: Fn(&Connection) -> io::Result<()> + Send + Sync + 'static,
{
    loop {
        match listener.accept() {
            Ok((stream, peer)) => spawn(stream, peer, open, serve),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => break,
            Err(_) => thread::sleep(ACCEPT_PAUSE),
        }
    }
}

fn spawn<S>(stream: TcpStream, peer: SocketAddr, open: &Arc<Open>, serve: &Arc<S>)
where
    S: Fn(&Connection) -> io::Result<()> + Send + Sync + 'static,
{
    let Ok(connection) = open.admit(stream, peer) else { return };
    let (open, serve) = (Arc::clone(open), Arc::clone(serve));
    thread::spawn(move || {
        // What goes wrong here is the peer's doing, and the peer's to report.
        let _ = serve(&connection);
        open.streams().remove(&connection.number);
    });
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{SocketAddr, TcpStream},
    };

    use anyhow::Result;

    use super::TcpServer;
    use crate::lab::Lab;

    #[test]
    fn it_serves_all_its_addresses_and_is_gone_when_dropped() -> Result<()> {
        Lab::run(|_| {
            let addresses: [SocketAddr; 2] = ["127.0.0.9:80".parse()?, "[::1]:80".parse()?];
            let server = TcpServer::start(&addresses, |connection| {
                write!(&*connection.stream, "{} {}", connection.number, connection.local)?;
                (&*connection.stream).read_to_end(&mut Vec::new()).map(drop)
            })?;
            let mut open = Vec::new();
            for (number, address) in (1..).zip(addresses) {
                let mut stream = TcpStream::connect(address)?;
                let mut greeting = vec![0; format!("{number} {address}").len()];
                stream.read_exact(&mut greeting)?;
                assert_eq!(String::from_utf8(greeting)?, format!("{number} {address}"));
                open.push(stream);
            }
            assert_eq!(server.accepted(), 2);

            drop(server);
            for mut stream in open {
                assert_eq!(stream.read(&mut [0])?, 0);
            }
            assert!(TcpStream::connect(addresses[0]).is_err());
            Ok(())
        })
    }
}
