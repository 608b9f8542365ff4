//! Connecting out.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd as _, BorrowedFd},
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};
use tokio::{
    net::{TcpSocket, TcpStream, UdpSocket},
    time::timeout,
};

use super::tune::tune;

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No answer in time.
    #[error("no answer from {address} within {limit:?}")]
    TimedOut {
        /// Where to.
        address: SocketAddr,
        /// How long it was waited for.
        limit: Duration,
    },
    /// Refused, unreachable, or no socket to be had.
    #[error("cannot connect to {address}: {source}")]
    Failed {
        /// Where to.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

impl DialError {
    /// Whether it is this process that lacks something: descriptors, memory, ports (`connect(2)`,
    /// `socket(2)`), or the socket could not be prepared, which is no error of the system's.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        let Self::Failed { source, .. } = self else { return false };
        let ours = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS, libc::EADDRNOTAVAIL];
        source.raw_os_error().is_none_or(|error| ours.contains(&error))
    }

    /// Whether there is no port left on this side for this one destination.
    #[must_use]
    pub fn lacks_port(&self) -> bool {
        let Self::Failed { source, .. } = self else { return false };
        source.raw_os_error() == Some(libc::EADDRNOTAVAIL)
    }
}

/// A datagram socket that speaks to `address` and hears from nobody else. `prepare` sees it before
/// it is connected.
pub fn datagram_socket(
    address: SocketAddr,
    prepare: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>,
) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    prepare(socket.as_fd())?;
    socket.connect(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// Connects to `address`. `prepare` sees the socket before it connects: that is where it is marked
/// as the daemon's own.
pub async fn dial(
    address: SocketAddr,
    limit: Duration,
    prepare: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>,
) -> Result<TcpStream, DialError> {
    let failed = |source| DialError::Failed { address, source };
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
    .map_err(failed)?;
    prepare(socket.as_fd()).map_err(failed)?;
    match timeout(limit, socket.connect(address)).await {
        Ok(Ok(stream)) => {
            // A failure only makes it slower.
            let _ = tune(&SockRef::from(&stream));
            Ok(stream)
        }
        Ok(Err(source)) => Err(failed(source)),
        Err(_) => Err(DialError::TimedOut { address, limit }),
    }
}
