//! A server that sends back what it is sent, and ends when its client has ended.

use std::{io, net::SocketAddr};

use anyhow::Result;

use crate::tcp::TcpServer;

/// Raw bytes, both ways; a half-closed connection is answered to its last byte.
#[derive(Debug)]
pub struct EchoServer {
    _server: TcpServer,
}

impl EchoServer {
    /// Listens on all of `addresses`.
    pub fn start(addresses: &[SocketAddr]) -> Result<Self> {
        let server = TcpServer::start(addresses, |connection| {
            io::copy(&mut &*connection.stream, &mut &*connection.stream).map(drop)
        })?;
        Ok(Self { _server: server })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{Shutdown, SocketAddr, TcpStream},
    };

    use super::EchoServer;
    use crate::lab::Lab;

    #[test]
    fn what_comes_in_goes_out_after_half_close_too() -> anyhow::Result<()> {
        Lab::run(|_| {
            let address: SocketAddr = "127.0.0.1:7".parse()?;
            let _server = EchoServer::start(&[address])?;
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(b"there and back")?;
            stream.shutdown(Shutdown::Write)?;
            let mut back = String::new();
            stream.read_to_string(&mut back)?;
            assert_eq!(back, "there and back");
            Ok(())
        })
    }
}
