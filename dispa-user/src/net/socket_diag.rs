//! The cookie of a socket of this host that is not ours (`sock_diag(7)`).

use std::{
    cell::Cell,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
};

use netlink_sys::{Socket, SocketAddr as NetlinkAddr, protocols::NETLINK_SOCK_DIAG};
use socket2::SockRef;

/// `SOCK_DIAG_BY_FAMILY` (`include/uapi/linux/sock_diag.h`), of the question and of its answer.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST` (`include/uapi/linux/netlink.h`).
const REQUEST: u16 = 1;
/// `AF_INET`, `AF_INET6` and `IPPROTO_TCP`, in the byte that they have here.
const INET: u8 = 2;
const INET6: u8 = 10;
const TCP: u8 = 6;

/// Bytes of `struct nlmsghdr`, and with `struct inet_diag_req_v2` behind it.
const HEADER: usize = 16;
const QUESTION: u32 = 72;
/// Where `struct inet_diag_msg` has the socket's cookie: after four bytes and 40 of its identity.
const COOKIE: usize = HEADER + 44;
/// More than any answer.
const LONGEST_ANSWER: usize = 1024;

/// Asks the kernel, who answers before the question is sent to its end.
#[derive(Debug)]
pub struct SocketDiag {
    socket: Socket,
    /// The number of the last question, which its answer has too.
    number: Cell<u32>,
}

impl SocketDiag {
    /// A socket to ask by. Fails where the kernel does not tell (`tcp_diag` is a module of most): it would
    /// look for that module at each question, and keep us waiting.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&NetlinkAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        let diag = Self { socket, number: Cell::new(0) };
        let known = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        if diag.cookie(known.local_addr()?, nobody)? != Some(SockRef::from(&known).cookie()?) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel has no tcp_diag"));
        }
        Ok(diag)
    }

    /// The cookie of the TCP socket at `local` that is connected to `remote`; `None`: there is none, or
    /// not any more.
    pub fn cookie(&self, local: SocketAddr, remote: SocketAddr) -> io::Result<Option<u64>> {
        let number = self.number.get().wrapping_add(1);
        self.number.set(number);
        self.socket.send(&question(number, local, remote), 0)?;
        loop {
            let mut answer = Vec::with_capacity(LONGEST_ANSWER);
            self.socket.recv(&mut answer, 0)?;
            // One that was not read in its time is not to be taken for this one.
            if answer.get(8..12) == Some(&number.to_ne_bytes()[..]) {
                return Ok(cookie_in(&answer));
            }
        }
    }
}

fn question(number: u32, local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    let mut question = Vec::new();
    question.extend_from_slice(&QUESTION.to_ne_bytes());
    question.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    question.extend_from_slice(&REQUEST.to_ne_bytes());
    question.extend_from_slice(&number.to_ne_bytes());
    // The kernel knows who asks.
    question.extend_from_slice(&[0; 4]);
    question.extend_from_slice(&[if local.is_ipv4() { INET } else { INET6 }, TCP, 0, 0]);
    // In whatever state.
    question.extend_from_slice(&u32::MAX.to_ne_bytes());
    question.extend_from_slice(&local.port().to_be_bytes());
    question.extend_from_slice(&remote.port().to_be_bytes());
    for ip in [local.ip(), remote.ip()] {
        match ip {
            IpAddr::V4(ip) => {
                question.extend_from_slice(&ip.octets());
                question.extend_from_slice(&[0; 12]);
            }
            IpAddr::V6(ip) => question.extend_from_slice(&ip.octets()),
        }
    }
    // On whatever interface, of whatever cookie (`INET_DIAG_NOCOOKIE`).
    question.extend_from_slice(&[0; 4]);
    question.extend_from_slice(&[0xff; 8]);
    question
}

/// `None` where it says that there is no such socket.
fn cookie_in(answer: &[u8]) -> Option<u64> {
    let kind = answer.get(4..6)?.try_into().map(u16::from_ne_bytes).ok()?;
    let cookie = answer.get(COOKIE..COOKIE + 8)?;
    // Two words, the lower one first, each in the host's order.
    let word = |bytes: &[u8]| bytes.try_into().map(u32::from_ne_bytes).map(u64::from).ok();
    let (low, high) = (word(cookie.get(..4)?)?, word(cookie.get(4..)?)?);
    (kind == SOCK_DIAG_BY_FAMILY).then_some(high << 32 | low)
}

#[cfg(test)]
mod tests {
    use super::SocketDiag;
    use std::net::{TcpListener, TcpStream};

    use socket2::SockRef;

    #[test]
    fn it_tells_what_the_socket_itself_does() {
        let diag = SocketDiag::open().expect("netlink");
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).expect("a free port");
            let there = listener.local_addr().expect("an address");
            let clients = [(); 3].map(|()| TcpStream::connect(there).expect("it listens"));
            for client in &clients {
                let own = SockRef::from(client).cookie().expect("a cookie");
                let here = client.local_addr().expect("an address");
                assert_eq!(diag.cookie(here, there).expect("an answer"), Some(own));
            }
        }
    }

    #[test]
    fn of_nobody_there_is_none() {
        let diag = SocketDiag::open().expect("netlink");
        let address = "127.0.0.1:1".parse().expect("an address");
        for _ in 0..3 {
            assert_eq!(diag.cookie(address, address).expect("an answer"), None);
        }
    }
}
