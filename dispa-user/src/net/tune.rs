//! What every connection of ours asks of its socket.

use std::io;

use socket2::SockRef;

/// Most bytes the kernel keeps for a peer that does not read, beyond what it has room for on the
/// way (`tcp(7)`, `TCP_NOTSENT_LOWAT`). Without it a send buffer grows to `net.ipv4.tcp_wmem`, 4 MiB,
/// for each of them; with less, fast connections are woken more often.
const UNSENT: u32 = 16 * 1024;

/// Sets a stream up. A listener's accepted connections inherit it, which saves them the calls.
pub(super) fn tune(stream: &SockRef<'_>) -> io::Result<()> {
    // Small writes must not wait for an acknowledgement.
    stream.set_tcp_nodelay(true)?;
    stream.set_tcp_notsent_lowat(UNSENT)
}

#[cfg(test)]
mod tests {
    use super::{UNSENT, tune};
    use socket2::SockRef;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn an_accepted_connection_inherits_it() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        tune(&SockRef::from(&listener)).expect("Linux has both");
        let _client =
            TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        let (accepted, _) = listener.accept().expect("a client");
        let accepted = SockRef::from(&accepted);
        assert!(accepted.tcp_nodelay().expect("a socket"));
        assert_eq!(accepted.tcp_notsent_lowat().expect("a socket"), UNSENT);
    }
}
