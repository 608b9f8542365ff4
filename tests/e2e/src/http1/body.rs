//! Bodies, read as far as one likes.

use std::io::{self, BufRead, ErrorKind};

use super::head::{Head, fields, invalid, line};

/// Where a body ends (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After this many bytes; 0 where there is no body.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    Close,
}

impl Framing {
    /// The framing of a request.
    pub fn of_request(head: &Head) -> io::Result<Self> {
        match (head.field("transfer-encoding"), head.field("content-length")) {
            (Some(_), Some(_)) => Err(invalid("two framings")),
            (Some("chunked"), None) => Ok(Self::Chunked),
            (Some(coding), None) => Err(invalid(coding)),
            (None, Some(length)) => Ok(Self::Length(length.parse().map_err(|_| invalid(length))?)),
            (None, None) => Ok(Self::Length(0)),
        }
    }

    /// The framing of a response to a request with this method.
    pub fn of_response(head: &Head, method: &str) -> io::Result<Self> {
        let status = head.status();
        let bare = method == "HEAD" || status < 200 || status == 204 || status == 304;
        if bare {
            return Ok(Self::Length(0));
        }
        let framed = head.has("transfer-encoding") || head.has("content-length");
        if framed { Self::of_request(head) } else { Ok(Self::Close) }
    }
}

/// A body that was read, and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// Without framing.
    pub bytes: Vec<u8>,
    /// What followed the last chunk.
    pub trailers: Vec<(String, String)>,
    /// Whether it came to the end its framing promised.
    pub whole: bool,
}

/// Takes a body off the stream, part by part.
#[derive(Debug)]
pub struct BodyReader {
    framing: Framing,
    /// Bytes left of a length or of the current chunk.
    left: u64,
    body: Body,
}

impl BodyReader {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        let left = if let Framing::Length(length) = framing { length } else { 0 };
        let whole = framing == Framing::Length(0);
        Self { framing, left, body: Body { whole, ..Body::default() } }
    }

    /// What has been read.
    #[must_use]
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Reads on until `length` bytes of the body have been read in all, or its end.
    pub fn read(&mut self, from: &mut impl BufRead, length: usize) -> io::Result<()> {
        while self.body.bytes.len() < length && !self.body.whole {
            self.step(from, length - self.body.bytes.len())?;
        }
        Ok(())
    }

    /// Reads to the end, or to where the connection ends: then the body is not whole. Only silence
    /// and bytes that are no body are errors.
    pub fn finish(mut self, from: &mut impl BufRead) -> io::Result<Body> {
        match self.read(from, usize::MAX) {
            Err(error) if !is_cut(&error) => Err(error),
            _ => Ok(self.body),
        }
    }

    fn step(&mut self, from: &mut impl BufRead, most: usize) -> io::Result<()> {
        if self.framing == Framing::Chunked && self.left == 0 {
            self.left = size_line(from)?;
            if self.left == 0 {
                self.body.trailers = fields(from)?;
                self.body.whole = true;
                return Ok(());
            }
        }
        let bytes = from.fill_buf()?;
        if bytes.is_empty() {
            self.body.whole = self.framing == Framing::Close;
            return if self.body.whole { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) };
        }
        let mut count = bytes.len().min(most);
        if self.framing != Framing::Close {
            count = usize::try_from(self.left).unwrap_or(usize::MAX).min(count);
            self.left -= count as u64;
        }
        self.body.bytes.extend_from_slice(&bytes[..count]);
        from.consume(count);
        self.after(from)
    }

    /// Whatever stands behind the last byte of a length or a chunk.
    fn after(&mut self, from: &mut impl BufRead) -> io::Result<()> {
        match self.framing {
            Framing::Length(_) => self.body.whole = self.left == 0,
            Framing::Chunked if self.left == 0 => {
                let end = line(from)?.ok_or(ErrorKind::UnexpectedEof)?;
                if !end.is_empty() {
                    return Err(invalid(&end));
                }
            }
            Framing::Chunked | Framing::Close => {}
        }
        Ok(())
    }
}

fn size_line(from: &mut impl BufRead) -> io::Result<u64> {
    let text = line(from)?.ok_or(ErrorKind::UnexpectedEof)?;
    let digits = text.split(';').next().unwrap_or_default();
    u64::from_str_radix(digits, 16).map_err(|_| invalid(&text))
}

/// Whether the connection ended, in whatever way.
pub(super) fn is_cut(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{Body, BodyReader, Framing};

    fn read(framing: Framing, mut bytes: &[u8]) -> io::Result<(Body, &[u8])> {
        Ok((BodyReader::new(framing).finish(&mut bytes)?, bytes))
    }

    #[test]
    fn each_framing_has_its_end() -> io::Result<()> {
        let chunked = b"2;a=b\r\nab\r\n1\r\nc\r\n0\r\nX: y\r\n\r\nnext";
        let (body, rest) = read(Framing::Chunked, chunked)?;
        assert_eq!((&*body.bytes, body.whole, rest), (&b"abc"[..], true, &b"next"[..]));
        assert_eq!(body.trailers, [("x".to_owned(), "y".to_owned())]);
        let (body, rest) = read(Framing::Length(3), b"abcnext")?;
        assert_eq!((&*body.bytes, body.whole, rest), (&b"abc"[..], true, &b"next"[..]));
        let (body, _) = read(Framing::Close, b"abc")?;
        assert_eq!((&*body.bytes, body.whole), (&b"abc"[..], true));
        Ok(())
    }

    #[test]
    fn a_cut_body_is_told_from_a_whole_one() -> io::Result<()> {
        for (framing, bytes) in [
            (Framing::Length(4), &b"abc"[..]),
            (Framing::Chunked, b"3\r\nabc\r\n"),
            (Framing::Chunked, b"4\r\nabc"),
            (Framing::Chunked, b"3\r\nabc\r\n0\r\n"),
        ] {
            let (body, _) = read(framing, bytes)?;
            assert_eq!((&*body.bytes, body.whole), (&b"abc"[..], false), "{framing:?}");
        }
        assert!(read(Framing::Chunked, b"2\r\nabc\r\n0\r\n\r\n").is_err());
        Ok(())
    }

    #[test]
    fn a_part_is_read_and_then_the_rest() -> io::Result<()> {
        let mut bytes = &b"abcdef"[..];
        let mut body = BodyReader::new(Framing::Length(6));
        body.read(&mut bytes, 2)?;
        assert_eq!((&*body.body().bytes, bytes), (&b"ab"[..], &b"cdef"[..]));
        assert_eq!(body.finish(&mut bytes)?.bytes, b"abcdef");
        Ok(())
    }
}
