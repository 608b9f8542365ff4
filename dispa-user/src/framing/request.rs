//! The head of a request (RFC 9112 sections 2, 3 and 5).

use super::{
    BodyFrame, Fault, HeadLimits,
    field::{self, Field, Length, Lengths, Line, is_tchar},
};
use crate::types::HostName;

/// The registered methods have at most 17 letters.
const LONGEST_METHOD: usize = 32;

/// RFC 9110 sections 4.2.1 and 4.2.2.
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// A whole head.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// Its bytes, the empty line included.
    pub length: usize,
    /// What follows it.
    pub body: BodyFrame,
}

/// A head that comes in pieces. Each byte is judged once.
#[derive(Debug)]
pub struct RequestScan {
    limits: HeadLimits,
    /// Where the first line that was not read yet begins.
    at: usize,
    /// How far its end was looked for.
    searched: usize,
    line: Option<RequestLine>,
    fields: usize,
    lengths: Lengths,
    /// As the Host field has it.
    host: Option<Authority>,
    skipped_line: bool,
}

#[derive(Debug)]
struct RequestLine {
    http11: bool,
    /// As the target has it.
    authority: Option<Authority>,
}

/// A host and a port, the default one where none is written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Authority {
    host: HostName,
    port: Option<u16>,
}

impl RequestScan {
    /// Nothing was seen yet.
    #[must_use]
    pub const fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            at: 0,
            searched: 0,
            line: None,
            fields: 0,
            lengths: Lengths::new(),
            host: None,
            skipped_line: false,
        }
    }

    /// Looks at `bytes`, which begin with all that was looked at before; `None`: the head is not
    /// whole yet.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Option<RequestHead>, Fault> {
        loop {
            let line = match field::line(bytes, self.at, self.searched)? {
                Line::Whole(line) => line,
                Line::Partial => {
                    self.searched = bytes.len();
                    return self.check_size(bytes.len()).map(|()| None);
                }
            };
            self.at = self.at + line.len() + 2;
            self.searched = self.at;
            self.check_size(self.at)?;
            if self.line.is_none() {
                self.first(line)?;
            } else if line.is_empty() {
                return self.finish().map(Some);
            } else {
                self.field(line)?;
            }
        }
    }

    fn check_size(&self, seen: usize) -> Result<(), Fault> {
        if seen <= self.limits.bytes {
            return Ok(());
        }
        // A first line that is too long is so because of its target.
        Err(if self.line.is_none() { Fault::TargetTooLong } else { Fault::HeadTooLarge })
    }

    fn first(&mut self, line: &[u8]) -> Result<(), Fault> {
        if line.is_empty() {
            let again = std::mem::replace(&mut self.skipped_line, true);
            return if again { Err(Fault::EmptyLines) } else { Ok(()) };
        }
        self.line = Some(RequestLine::parse(line, self.limits.target)?);
        Ok(())
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Fault> {
        let field = Field::parse(line)?;
        self.fields += 1;
        if self.fields > self.limits.fields {
            return Err(Fault::TooManyFields);
        }
        match field.name.len() {
            4 if field.is("host") => {
                let again = self.host.replace(Authority::parse(field.value)?).is_some();
                if again { Err(Fault::Host) } else { Ok(()) }
            }
            6 if field.is("expect") && !field.value.eq_ignore_ascii_case(b"100-continue") => {
                Err(Fault::Expectation)
            }
            _ => self.lengths.note(&field),
        }
    }

    fn finish(&self) -> Result<RequestHead, Fault> {
        let line = self.line.as_ref().ok_or(Fault::RequestLine)?;
        let host = self.host.as_ref().ok_or(Fault::Host)?;
        if line.authority.as_ref().is_some_and(|authority| !authority.is(host)) {
            return Err(Fault::Host);
        }
        let body = match self.lengths.finish(line.http11)? {
            Length::Unsaid => BodyFrame::known(0),
            Length::Known(length) => BodyFrame::known(length),
            Length::Chunked => BodyFrame::chunked(self.limits),
        };
        Ok(RequestHead { length: self.at, body })
    }
}

impl RequestLine {
    fn parse(line: &[u8], longest_target: usize) -> Result<Self, Fault> {
        let mut parts = line.split(|&byte| byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Fault::RequestLine);
        };
        if !(1..=LONGEST_METHOD).contains(&method.len()) || !method.iter().all(|&it| is_tchar(it)) {
            return Err(Fault::Method);
        }
        if target.len() > longest_target {
            return Err(Fault::TargetTooLong);
        }
        let authority = authority_of(method, target)?;
        Ok(Self { http11: is_http11(version)?, authority })
    }
}

/// `true` for HTTP/1.1, `false` for 1.0.
pub(super) fn is_http11(version: &[u8]) -> Result<bool, Fault> {
    match version {
        b"HTTP/1.1" => Ok(true),
        b"HTTP/1.0" => Ok(false),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Fault::Version)
        }
        _ => Err(Fault::RequestLine),
    }
}

/// Whether all bytes of a target are of those that a URI can have, or that browsers leave as they are
/// and `http::Uri` takes.
fn is_sound(target: &[u8]) -> bool {
    let mut in_query = false;
    target.iter().all(|&byte| match byte {
        b'?' => {
            in_query = true;
            true
        }
        b'#' | b'<' | b'>' => false,
        b'`' => in_query,
        b'"' => !in_query,
        _ => byte.is_ascii_graphic(),
    })
}

/// The authority in a target: of its absolute or authority form (RFC 9112 section 3.2).
fn authority_of(method: &[u8], target: &[u8]) -> Result<Option<Authority>, Fault> {
    if !is_sound(target) {
        return Err(Fault::Target);
    }
    match target {
        [b'/', ..] if method != b"CONNECT" => Ok(None),
        b"*" if method == b"OPTIONS" => Ok(None),
        // It is refused by its method, once its head is known to be sound.
        _ if method == b"CONNECT" => Authority::parse(target).map(Some).map_err(|_| Fault::Target),
        _ => absolute(target).map(Some),
    }
}

fn absolute(target: &[u8]) -> Result<Authority, Fault> {
    let starts = |scheme: &str| {
        let start = target.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme.as_bytes()).then_some(&target[scheme.len()..])
    };
    let (rest, port) = match (starts("http://"), starts("https://")) {
        (Some(rest), _) => (rest, HTTP_PORT),
        (None, Some(rest)) => (rest, HTTPS_PORT),
        (None, None) => return Err(Fault::Target),
    };
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let authority = Authority::parse(&rest[..end]).map_err(|_| Fault::Target)?;
    Ok(Authority { port: authority.port.or(Some(port)), ..authority })
}

impl Authority {
    fn parse(text: &[u8]) -> Result<Self, Fault> {
        let text = std::str::from_utf8(text).map_err(|_| Fault::Host)?;
        let (host, port) = HostName::from_authority(text).map_err(|_| Fault::Host)?;
        Ok(Self { host, port })
    }

    /// Whether a Host field says the same as this authority of a target.
    fn is(&self, field: &Self) -> bool {
        self.host == field.host && (field.port.is_none() || field.port == self.port) && {
            // Without a port the field means the default one of the target's scheme.
            field.port.is_some() || matches!(self.port, None | Some(HTTP_PORT | HTTPS_PORT))
        }
    }
}
