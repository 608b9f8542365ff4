//! A client that writes whatever bytes a test gives it.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use socket2::{Domain, SockRef, Socket, Type};

use super::{answer::Answer, body::is_cut, head::Head};

/// Silence of this length where something should come is a hang.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// Nothing moves on loopback after this time that would move at all.
const STUCK: Duration = Duration::from_millis(200);

/// One connection. Each wait has an end.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    /// Connects.
    pub fn connect(to: SocketAddr) -> Result<Self> {
        Self::of(TcpStream::connect(to).with_context(|| format!("connecting to {to}"))?)
    }

    /// Connects from an address of one's own choice.
    pub fn connect_from(from: IpAddr, to: SocketAddr) -> Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(from, 0).into())?;
        socket.connect(&to.into()).with_context(|| format!("connecting to {to} from {from}"))?;
        Self::of(socket.into())
    }

    fn of(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, reader })
    }

    /// Writes all of `bytes`.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Writes until nothing more of `bytes` has fitted for a while, or can ever be; returns how
    /// much was written.
    pub fn fill(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(STUCK))?;
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock || is_cut(&error) => break,
                Err(error) => return Err(error),
            }
        }
        self.stream.set_write_timeout(Some(PATIENCE))?;
        Ok(sent)
    }

    /// Reads the answer to a GET or a POST.
    pub fn answer(&mut self) -> Result<Answer> {
        self.answer_to("GET")
    }

    /// Reads the answer to a request with this method.
    pub fn answer_to(&mut self, method: &str) -> Result<Answer> {
        self.try_answer(method)?.context("the connection ended before an answer began")
    }

    /// Reads the answer; none where the connection ends or breaks before it begins.
    pub fn try_answer(&mut self, method: &str) -> Result<Option<Answer>> {
        match Answer::read(&mut self.reader, method) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            answer => answer.context("reading an answer"),
        }
    }

    /// Reads the next head, interim or not, and nothing of a body.
    pub fn head(&mut self) -> Result<Head> {
        Head::read(&mut self.reader)?.context("the connection ended before a head")
    }

    /// Sends a GET for `path` of `host` and reads the answer.
    pub fn get(&mut self, host: &str, path: &str) -> Result<Answer> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))?;
        self.answer()
    }

    /// Waits for something to come, or the end; whether it did within this time.
    pub fn hears_within(&mut self, time: Duration) -> Result<bool> {
        self.stream.set_read_timeout(Some(time))?;
        let heard = self.reader.fill_buf().map(drop);
        self.stream.set_read_timeout(Some(PATIENCE))?;
        match heard {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) if !is_cut(&error) => Err(error).context("waiting"),
            _ => Ok(true),
        }
    }

    /// Reads exactly this many bytes.
    pub fn read(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads until the connection ends or breaks.
    pub fn rest(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self.reader.read_to_end(&mut bytes) {
            Err(error) if !is_cut(&error) => Err(error).context("waiting for the end"),
            _ => Ok(bytes),
        }
    }

    /// Waits for the end of the connection, before which nothing more may come.
    pub fn ended(&mut self) -> Result<()> {
        let rest = self.rest()?;
        if !rest.is_empty() {
            bail!("instead of the end came {:?}", String::from_utf8_lossy(&rest));
        }
        Ok(())
    }

    /// A second handle to write with, while this one reads.
    pub fn writer(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }

    /// The client's own address.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Sends nothing more (FIN), and goes on reading.
    pub fn half_close(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Breaks the connection off (RST).
    pub fn reset(self) -> io::Result<()> {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
    }
}
