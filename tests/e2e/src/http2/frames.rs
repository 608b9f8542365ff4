//! Frames one by one, for what no library would send.

use std::{
    io::{self, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result};

/// Silence of this length where something should come is a hang.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a client says first (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame (RFC 9113 section 4.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 for the connection.
    pub stream: u32,
    /// The rest.
    pub payload: Vec<u8>,
}

impl Frame {
    /// DATA.
    pub const DATA: u8 = 0;
    /// HEADERS.
    pub const HEADERS: u8 = 1;
    /// `RST_STREAM`.
    pub const RST_STREAM: u8 = 3;
    /// SETTINGS.
    pub const SETTINGS: u8 = 4;
    /// PING.
    pub const PING: u8 = 6;
    /// GOAWAY.
    pub const GOAWAY: u8 = 7;
    /// `WINDOW_UPDATE`.
    pub const WINDOW_UPDATE: u8 = 8;
    /// CONTINUATION.
    pub const CONTINUATION: u8 = 9;
    /// The flag `END_STREAM`; on SETTINGS and PING: ACK.
    pub const END_STREAM: u8 = 1;
    /// The flag `END_HEADERS`.
    pub const END_HEADERS: u8 = 4;

    /// A frame with this payload.
    #[must_use]
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    /// The four bytes that begin a `RST_STREAM`, or those that follow the last stream in a GOAWAY.
    #[must_use]
    pub fn code(&self) -> Option<u32> {
        let at = if self.kind == Self::GOAWAY { 4 } else { 0 };
        let bytes = self.payload.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }

    fn write(&self, to: &mut Vec<u8>) {
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        to.extend_from_slice(&length.to_be_bytes()[1..]);
        to.extend_from_slice(&[self.kind, self.flags]);
        to.extend_from_slice(&self.stream.to_be_bytes());
        to.extend_from_slice(&self.payload);
    }

    fn read(from: &mut impl io::Read) -> io::Result<Self> {
        let mut head = [0; 9];
        from.read_exact(&mut head)?;
        let [a, b, c, kind, flags, s @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        from.read_exact(&mut payload)?;
        Ok(Self { kind, flags, stream: u32::from_be_bytes(s) & 0x7fff_ffff, payload })
    }
}

/// A block of fields as literals without indexing (RFC 7541 section 6.2.2): any decoder reads it.
#[must_use]
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        put_text(&mut block, name);
        put_text(&mut block, value);
    }
    block
}

/// The block of a GET.
#[must_use]
pub fn get(host: &str, path: &str) -> Vec<u8> {
    block(&[(":method", "GET"), (":scheme", "http"), (":authority", host), (":path", path)])
}

/// A length in seven bits, or 127 and the rest (RFC 7541 section 5.1), and the bytes themselves.
fn put_text(block: &mut Vec<u8>, text: &str) {
    let mut rest = text.len();
    if rest < 127 {
        block.push(rest.to_le_bytes()[0]);
    } else {
        block.push(127);
        rest -= 127;
        while rest >= 128 {
            block.push(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        block.push(rest.to_le_bytes()[0]);
    }
    block.extend_from_slice(text.as_bytes());
}

/// A connection of frames.
#[derive(Debug)]
pub struct Frames {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Frames {
    /// Connects, and says what a client says first: the preface and empty SETTINGS.
    pub fn connect(to: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(to).with_context(|| format!("connecting to {to}"))?;
        let mut frames = Self::of(stream)?;
        frames.stream.write_all(PREFACE)?;
        frames.send(&[Frame::new(Frame::SETTINGS, 0, 0, [])])?;
        Ok(frames)
    }

    /// Frames on a stream whose preface is dealt with.
    pub fn of(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, reader })
    }

    /// Writes frames, all at once.
    pub fn send(&mut self, frames: &[Frame]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for frame in frames {
            frame.write(&mut bytes);
        }
        self.stream.write_all(&bytes)
    }

    /// Reads the next frame; SETTINGS and PING are acknowledged.
    pub fn frame(&mut self) -> io::Result<Frame> {
        let frame = Frame::read(&mut self.reader)?;
        let asks = matches!(frame.kind, Frame::SETTINGS | Frame::PING) && frame.flags & 1 == 0;
        if asks {
            let payload = if frame.kind == Frame::PING { frame.payload.clone() } else { vec![] };
            self.send(&[Frame::new(frame.kind, 1, 0, payload)])?;
        }
        Ok(frame)
    }

    /// Reads up to a frame that fits `wanted`; returns those before it as well.
    pub fn until(&mut self, mut wanted: impl FnMut(&Frame) -> bool) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        loop {
            let frame = self.frame().with_context(|| format!("after {frames:?}"))?;
            let found = wanted(&frame);
            frames.push(frame);
            if found {
                return Ok(frames);
            }
        }
    }

    /// Reads until the connection ends, in whatever way; only silence is an error.
    pub fn rest(&mut self) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        loop {
            match self.frame() {
                Ok(frame) => frames.push(frame),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(error).context("the connection does not end");
                }
                Err(_) => return Ok(frames),
            }
        }
    }

    /// The data a stream has brought in these frames.
    #[must_use]
    pub fn data(frames: &[Frame], stream: u32) -> Vec<u8> {
        let own = frames.iter().filter(|it| it.kind == Frame::DATA && it.stream == stream);
        own.flat_map(|frame| frame.payload.clone()).collect()
    }
}
