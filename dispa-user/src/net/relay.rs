//! Copying bytes both ways without reading them.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes},
    net::TcpStream,
};

/// Buffer of each direction: enough to keep a fast stream busy with few system calls.
const BUFFER: usize = 32 * 1024;

/// Copies until both sides have closed; bytes from client to server, and back. A side that only
/// closes its sending half goes on receiving.
pub async fn relay<C, S>(client: &mut C, server: &mut S) -> io::Result<(u64, u64)>
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    copy_bidirectional_with_sizes(client, server, BUFFER, BUFFER).await
}

/// Closes a connection the way a failed one ends, by a reset: the peer must not take what it got
/// so far for the whole.
pub fn reset(stream: TcpStream) {
    // Where it cannot be set, the connection is closed in the ordinary way.
    let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    drop(stream);
}
