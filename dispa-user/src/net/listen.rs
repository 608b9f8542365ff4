//! Listening sockets: one per worker and address, all of one address in a `SO_REUSEPORT` group.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    num::NonZeroUsize,
};

use socket2::{Domain, SockRef, Socket, Type};

use super::tune::tune;

/// Connections the kernel queues for one worker; it caps this at net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// The same for those who watch, of whom there are few.
const SHORT_BACKLOG: i32 = 64;

/// Receive buffer of the door for datagrams, in bytes.
const DATAGRAM_BUFFER: usize = 1024 * 1024;

/// One worker's listening socket, non-blocking, not yet with any runtime.
pub type Listener = TcpListener;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}{}", hint(source, setting))]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
    /// What names the address.
    pub setting: &'static str,
}

impl ListenError {
    /// Whether a permission is missing, rather than the address taken.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.source.kind() == io::ErrorKind::PermissionDenied
    }
}

/// What names the address of the explicit door.
const EXPLICIT_DOOR: &str = "-b or server.bind_address";

fn hint(source: &io::Error, setting: &str) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => format!(
            "; another program holds it (`ss -ltnp` names it): stop it, or choose another address \
             with {setting}"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("; this host has no such address: choose another with {setting}")
        }
        io::ErrorKind::PermissionDenied => {
            format!("; ports below 1024 need CAP_NET_BIND_SERVICE: choose another with {setting}")
        }
        _ => String::new(),
    }
}

/// One listener on `address`, which `setting` names, for no worker.
pub fn listener(address: SocketAddr, setting: &'static str) -> Result<Listener, ListenError> {
    let listen = || {
        let socket = bound(address, Type::STREAM, |_| Ok(()))?;
        socket.listen(SHORT_BACKLOG)?;
        Ok(socket.into())
    };
    listen().map_err(|source| ListenError { address, source, setting })
}

/// Whether the listener is at this address; port 0 is any.
#[must_use]
pub fn is_at(listener: &Listener, wanted: SocketAddr) -> bool {
    listener.local_addr().is_ok_and(|address| {
        address.ip() == wanted.ip() && [0, address.port()].contains(&wanted.port())
    })
}

/// The explicit door: `workers` listeners on `address`.
pub fn explicit_door(
    address: SocketAddr,
    workers: NonZeroUsize,
) -> Result<Vec<Listener>, ListenError> {
    let failed = |source| ListenError { address, source, setting: EXPLICIT_DOOR };
    // A group of SO_REUSEPORT would silently join another process's: a socket without it fails
    // where anyone listens.
    let probe = bound(address, Type::STREAM, |_| Ok(())).map_err(failed)?;
    probe.listen(1).map_err(failed)?;
    let address = local_address(&probe).map_err(failed)?;
    drop(probe);
    group(address, workers, |_| Ok(())).map_err(failed)
}

/// The transparent door of one family, by worker: all on one port, on every address of `lo`, which
/// is where all slots are, and nothing beyond it.
#[derive(Debug)]
pub struct TransparentDoor {
    /// The port of all of them.
    pub port: u16,
    /// For connections.
    pub listeners: Vec<Listener>,
    /// For DNS over UDP.
    pub datagrams: Vec<UdpSocket>,
}

/// A port may be free for TCP and taken for UDP; then another one is tried.
const TRIES: usize = 16;

/// Opens the transparent door of the family of `family` on a free port.
pub fn transparent_door(
    family: IpAddr,
    workers: NonZeroUsize,
) -> Result<TransparentDoor, ListenError> {
    let any = match family {
        IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let mut tries = 0;
    loop {
        tries += 1;
        match try_transparent_door(any, workers) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => {}
            opened => {
                let failed = |source| ListenError { address: any, source, setting: EXPLICIT_DOOR };
                return opened.map_err(failed);
            }
        }
    }
}

fn try_transparent_door(any: SocketAddr, workers: NonZeroUsize) -> io::Result<TransparentDoor> {
    let on_loopback = |socket: &Socket| socket.bind_device(Some(b"lo"));
    let listeners = group(any, workers, on_loopback)?;
    let address = match listeners.first() {
        Some(listener) => listener.local_addr()?,
        None => any,
    };
    let datagrams = (0..workers.get())
        .map(|_| {
            let socket = bound(address, Type::DGRAM, |socket| {
                socket.set_reuse_port(true)?;
                on_loopback(socket)
            })?;
            // Half a second of a busy host's questions; the kernel caps it at net.core.rmem_max.
            socket.set_recv_buffer_size(DATAGRAM_BUFFER)?;
            Ok(socket.into())
        })
        .collect::<io::Result<_>>()?;
    Ok(TransparentDoor { port: address.port(), listeners, datagrams })
}

/// Listeners that share one port; the first one chooses it where `address` has port 0.
fn group(
    mut address: SocketAddr,
    workers: NonZeroUsize,
    prepare: impl Fn(&Socket) -> io::Result<()>,
) -> io::Result<Vec<Listener>> {
    let mut sockets = Vec::with_capacity(workers.get());
    for _ in 0..workers.get() {
        let socket = bound(address, Type::STREAM, |socket| {
            socket.set_reuse_port(true)?;
            prepare(socket)
        })?;
        address = local_address(&socket)?;
        sockets.push(socket);
    }
    sockets
        .into_iter()
        .map(|socket| {
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        })
        .collect()
}

fn bound(
    address: SocketAddr,
    kind: Type,
    prepare: impl Fn(&Socket) -> io::Result<()>,
) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    socket.set_nonblocking(true)?;
    if kind == Type::STREAM {
        // After a restart the old connections' ports are still in TIME_WAIT.
        socket.set_reuse_address(true)?;
        tune(&SockRef::from(&socket))?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    prepare(&socket)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::Error::other("the listener has no internet address"))
}

#[cfg(test)]
mod tests {
    use super::explicit_door;
    use std::{net::TcpListener, num::NonZeroUsize};

    const TWO: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

    #[test]
    fn a_door_is_one_listener_for_each_worker_on_one_port() {
        let door = explicit_door("127.0.0.1:0".parse().expect("an address"), TWO).expect("free");
        let ports: Vec<_> = door.iter().map(|l| l.local_addr().expect("bound").port()).collect();
        assert_eq!(ports.len(), 2);
        assert_eq!(ports[0], ports[1]);
    }

    #[test]
    fn a_port_that_another_dispa_holds_is_refused_not_shared() {
        let first = explicit_door("127.0.0.1:0".parse().expect("an address"), TWO).expect("free");
        let address = first[0].local_addr().expect("bound");
        let error = explicit_door(address, TWO).expect_err("taken");
        assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains("another program holds it"), "{error}");
    }

    #[test]
    fn a_port_that_any_program_holds_is_refused() {
        let other = TcpListener::bind("127.0.0.1:0").expect("free");
        let address = other.local_addr().expect("bound");
        assert!(explicit_door(address, TWO).is_err());
    }
}
