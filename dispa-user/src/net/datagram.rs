//! The door for datagrams: which slot each was sent to, and answers that come from that slot.

use std::{
    cell::RefCell,
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsRawFd as _,
};

use nix::{
    cmsg_space,
    libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo},
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg,
        setsockopt, sockopt,
    },
};
use socket2::SockRef;
use tokio::{io::Interest, net::UdpSocket};

/// A socket of the transparent door for datagrams (`IP_PKTINFO`, ip(7); RFC 3542 section 6).
#[derive(Debug)]
pub struct DatagramDoor {
    socket: UdpSocket,
    control: RefCell<Vec<u8>>,
}

/// What came with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Bytes of it in the buffer.
    pub length: usize,
    /// The program's end.
    pub client: SocketAddr,
    /// The address it was sent to: a slot.
    pub slot: IpAddr,
}

impl DatagramDoor {
    /// Takes over a bound socket; needs a runtime.
    pub fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        if socket.local_addr()?.is_ipv4() {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            // The slots' addresses are routed to this host, not assigned to it; an answer may come
            // from such a one only so (`ipv6_can_nonlocal_bind`, include/net/ipv6.h).
            SockRef::from(&socket).set_freebind_v6(true)?;
        }
        let control = RefCell::new(cmsg_space!(in_pktinfo, in6_pktinfo));
        Ok(Self { socket: UdpSocket::from_std(socket)?, control })
    }

    /// Waits for a datagram. Cancel safe.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<Datagram> {
        self.socket.async_io(Interest::READABLE, || self.try_receive(buffer)).await
    }

    fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Datagram> {
        let mut control = self.control.borrow_mut();
        let mut slices = [IoSliceMut::new(buffer)];
        let message = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut slices,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        )?;
        let slot = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(v4(info.ipi_addr)),
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(v6(info.ipi6_addr)),
            _ => None,
        });
        let client = message.address.as_ref().and_then(socket_address);
        match (client, slot) {
            (Some(client), Some(slot)) => Ok(Datagram { length: message.bytes, client, slot }),
            _ => Err(io::Error::other("a datagram without its addresses")),
        }
    }

    /// Sends `bytes` to `client` from `slot`. Like any datagram it may be lost: where the socket's
    /// buffer is full it is, and the error says so.
    pub fn send(&self, bytes: &[u8], slot: IpAddr, client: SocketAddr) -> io::Result<()> {
        let slices = [IoSlice::new(bytes)];
        let to = SockaddrStorage::from(client);
        let fd = self.socket.as_raw_fd();
        match slot {
            IpAddr::V4(slot) => {
                let info = from_v4(slot);
                let control = [ControlMessage::Ipv4PacketInfo(&info)];
                sendmsg(fd, &slices, &control, MsgFlags::MSG_DONTWAIT, Some(&to))?;
            }
            IpAddr::V6(slot) => {
                let info = from_v6(slot);
                let control = [ControlMessage::Ipv6PacketInfo(&info)];
                sendmsg(fd, &slices, &control, MsgFlags::MSG_DONTWAIT, Some(&to))?;
            }
        }
        Ok(())
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::from((v4.ip(), v4.port())));
    }
    let v6 = address.as_sockaddr_in6()?;
    Some(SocketAddr::from((v6.ip(), v6.port())))
}

fn v4(address: in_addr) -> IpAddr {
    Ipv4Addr::from(address.s_addr.to_ne_bytes()).into()
}

fn v6(address: in6_addr) -> IpAddr {
    Ipv6Addr::from(address.s6_addr).into()
}

fn from_v4(address: Ipv4Addr) -> in_pktinfo {
    let any = in_addr { s_addr: 0 };
    let address = in_addr { s_addr: u32::from_ne_bytes(address.octets()) };
    in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address, ipi_addr: any }
}

fn from_v6(address: Ipv6Addr) -> in6_pktinfo {
    in6_pktinfo { ipi6_addr: in6_addr { s6_addr: address.octets() }, ipi6_ifindex: 0 }
}

#[cfg(test)]
mod tests {
    use super::DatagramDoor;
    use std::net::{IpAddr, UdpSocket};

    #[tokio::test]
    async fn an_answer_comes_from_the_address_that_was_asked() {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a free port");
        socket.set_nonblocking(true).expect("a socket");
        let port = socket.local_addr().expect("bound").port();
        let door = DatagramDoor::new(socket).expect("a runtime");
        let slot: IpAddr = "127.208.1.2".parse().expect("an address");
        let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        client.connect((slot, port)).expect("loopback");
        client.send(b"question").expect("loopback");

        let mut buffer = [0; 64];
        let datagram = door.receive(&mut buffer).await.expect("it was sent");
        assert_eq!(&buffer[..datagram.length], b"question");
        assert_eq!(datagram.slot, slot);
        assert_eq!(datagram.client, client.local_addr().expect("bound"));

        door.send(b"answer", datagram.slot, datagram.client).expect("loopback");
        let length = client.recv(&mut buffer).expect("from the connected address");
        assert_eq!(&buffer[..length], b"answer");
    }
}
