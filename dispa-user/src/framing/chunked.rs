//! The chunked coding (RFC 9112 section 7.1), judged byte by byte but for the data.

use super::{
    Fault, HeadLimits,
    field::{is_in_value, is_tchar},
};

/// What a chunk's extensions may take. Nobody is known to use them.
const LONGEST_EXTENSION: usize = 1024;
/// As many as a number of 64 bits has.
const MOST_DIGITS: u8 = 16;
/// No field that matters here has a longer name.
const LONGEST_NAME: usize = 20;

/// Fields that decide about framing, routing, credentials or the content as a whole: in a trailer
/// they come too late, or behind the back of whoever looked for them (RFC 9110 section 6.5.1).
const NEVER_IN_TRAILERS: &[&str] = &[
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Where in the coding the stream is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunked {
    state: State,
    /// Of the present chunk: its size, then what is left of its data.
    size: u64,
    digits: u8,
    /// Bytes of the present line's extensions.
    extension: usize,
    /// Of all trailers.
    trailer_bytes: usize,
    trailers: usize,
    name: [u8; LONGEST_NAME],
    name_length: usize,
    limits: HeadLimits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    ExtensionName,
    ExtensionNameMore,
    ExtensionValue,
    ExtensionToken,
    ExtensionQuoted,
    ExtensionEscaped,
    ExtensionEnd,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    Done,
}

impl Chunked {
    pub(super) const fn new(limits: HeadLimits) -> Self {
        Self {
            state: State::Size,
            size: 0,
            digits: 0,
            extension: 0,
            trailer_bytes: 0,
            trailers: 0,
            name: [0; LONGEST_NAME],
            name_length: 0,
            limits,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How many of `bytes` belong to the coded body.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                State::Done => break,
                State::Data => {
                    let rest = bytes.len() - at;
                    let taken = usize::try_from(self.size).map_or(rest, |size| size.min(rest));
                    self.size -= taken as u64;
                    at += taken;
                    if self.size == 0 {
                        self.state = State::DataCr;
                    }
                }
                _ => {
                    self.state = self.step(byte)?;
                    at += 1;
                }
            }
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<State, Fault> {
        match self.state {
            State::Size => self.size(byte),
            State::ExtensionName
            | State::ExtensionNameMore
            | State::ExtensionValue
            | State::ExtensionToken
            | State::ExtensionQuoted
            | State::ExtensionEscaped
            | State::ExtensionEnd => self.extension(byte),
            State::SizeLf if byte == b'\n' => Ok(self.size_line_ends()),
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => {
                (self.digits, self.extension) = (0, 0);
                Ok(State::Size)
            }
            State::TrailerStart | State::TrailerName | State::TrailerValue => self.trailer(byte),
            State::TrailerLf if byte == b'\n' => Ok(State::TrailerStart),
            State::LastLf if byte == b'\n' => Ok(State::Done),
            State::TrailerLf | State::LastLf => Err(Fault::Trailer),
            State::SizeLf | State::Data | State::DataCr | State::DataLf | State::Done => {
                Err(Fault::Chunk)
            }
        }
    }

    fn size(&mut self, byte: u8) -> Result<State, Fault> {
        match (char::from(byte).to_digit(16), byte) {
            (Some(digit), _) if self.digits < MOST_DIGITS => {
                self.digits += 1;
                self.size = self.size << 4 | u64::from(digit);
                if self.size > i64::MAX.unsigned_abs() {
                    Err(Fault::Chunk)
                } else {
                    Ok(State::Size)
                }
            }
            (None, b'\r') if self.digits > 0 => Ok(State::SizeLf),
            (None, b';') if self.digits > 0 => Ok(State::ExtensionName),
            _ => Err(Fault::Chunk),
        }
    }

    fn size_line_ends(&mut self) -> State {
        if self.size == 0 { State::TrailerStart } else { State::Data }
    }

    /// `;name`, `;name=token` or `;name="text"`, any number of them (RFC 9112 section 7.1.1).
    fn extension(&mut self, byte: u8) -> Result<State, Fault> {
        self.extension += 1;
        if self.extension > LONGEST_EXTENSION {
            return Err(Fault::Chunk);
        }
        match (self.state, byte) {
            (State::ExtensionName | State::ExtensionNameMore, _) if is_tchar(byte) => {
                Ok(State::ExtensionNameMore)
            }
            (State::ExtensionNameMore, b'=') => Ok(State::ExtensionValue),
            (State::ExtensionValue, b'"') => Ok(State::ExtensionQuoted),
            (State::ExtensionValue | State::ExtensionToken, _) if is_tchar(byte) => {
                Ok(State::ExtensionToken)
            }
            (State::ExtensionQuoted, b'"') => Ok(State::ExtensionEnd),
            (State::ExtensionQuoted, b'\\') => Ok(State::ExtensionEscaped),
            (State::ExtensionQuoted | State::ExtensionEscaped, _) if is_in_value(byte) => {
                Ok(State::ExtensionQuoted)
            }
            (State::ExtensionNameMore | State::ExtensionToken | State::ExtensionEnd, b';') => {
                Ok(State::ExtensionName)
            }
            (State::ExtensionNameMore | State::ExtensionToken | State::ExtensionEnd, b'\r') => {
                Ok(State::SizeLf)
            }
            _ => Err(Fault::Chunk),
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<State, Fault> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > self.limits.bytes {
            return Err(Fault::Trailer);
        }
        match (self.state, byte) {
            (State::TrailerStart, b'\r') => Ok(State::LastLf),
            (State::TrailerStart, _) if is_tchar(byte) => {
                self.trailers += 1;
                self.name_length = 0;
                if self.trailers > self.limits.fields {
                    return Err(Fault::Trailer);
                }
                Ok(self.name_goes_on(byte))
            }
            (State::TrailerName, _) if is_tchar(byte) => Ok(self.name_goes_on(byte)),
            (State::TrailerName, b':') if self.name_is_allowed() => Ok(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, _) if is_in_value(byte) => Ok(State::TrailerValue),
            _ => Err(Fault::Trailer),
        }
    }

    fn name_goes_on(&mut self, byte: u8) -> State {
        if let Some(place) = self.name.get_mut(self.name_length) {
            *place = byte.to_ascii_lowercase();
        }
        self.name_length += 1;
        State::TrailerName
    }

    fn name_is_allowed(&self) -> bool {
        let name = self.name.get(..self.name_length);
        name.is_none_or(|name| !NEVER_IN_TRAILERS.iter().any(|never| never.as_bytes() == name))
    }
}
