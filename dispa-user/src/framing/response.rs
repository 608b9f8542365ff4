//! The head of a response (RFC 9112 sections 4 and 6.3).

use super::{
    BodyFrame, Fault, HeadLimits,
    field::{self, Field, Length, Lengths, Line, check_value},
    request::is_http11,
};

/// A whole head.
#[derive(Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// Its bytes, the empty line included.
    pub length: usize,
    /// From 100 to 599.
    pub status: u16,
    /// What follows it: nothing after an interim response.
    pub body: BodyFrame,
}

impl ResponseHead {
    /// Whether another response is to follow (RFC 9110 section 15.2). 101 is the last in HTTP.
    #[must_use]
    pub const fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }
}

/// A head that comes in pieces. Each byte is judged once.
#[derive(Debug)]
pub struct ResponseScan {
    limits: HeadLimits,
    at: usize,
    searched: usize,
    line: Option<StatusLine>,
    fields: usize,
    lengths: Lengths,
}

#[derive(Clone, Copy, Debug)]
struct StatusLine {
    http11: bool,
    status: u16,
}

impl ResponseScan {
    /// Nothing was seen yet.
    #[must_use]
    pub const fn new(limits: HeadLimits) -> Self {
        Self { limits, at: 0, searched: 0, line: None, fields: 0, lengths: Lengths::new() }
    }

    /// Looks at `bytes`, which begin with all that was looked at before; `None`: the head is not
    /// whole yet. `to_head`: it answers a HEAD request.
    pub fn advance(&mut self, bytes: &[u8], to_head: bool) -> Result<Option<ResponseHead>, Fault> {
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
            match self.line {
                None => self.line = Some(StatusLine::parse(line)?),
                Some(first) if line.is_empty() => return self.finish(first, to_head).map(Some),
                Some(_) => self.field(line)?,
            }
        }
    }

    fn check_size(&self, seen: usize) -> Result<(), Fault> {
        if seen <= self.limits.bytes { Ok(()) } else { Err(Fault::HeadTooLarge) }
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Fault> {
        let field = Field::parse(line)?;
        self.fields += 1;
        if self.fields > self.limits.fields {
            return Err(Fault::TooManyFields);
        }
        self.lengths.note(&field)
    }

    fn finish(&self, line: StatusLine, to_head: bool) -> Result<ResponseHead, Fault> {
        let said = self.lengths.finish(line.http11)?;
        let bodiless = to_head || matches!(line.status, 100..200 | 204 | 304);
        let body = match said {
            _ if bodiless => BodyFrame::known(0),
            Length::Known(length) => BodyFrame::known(length),
            Length::Chunked => BodyFrame::chunked(self.limits),
            Length::Unsaid => BodyFrame::until_close(),
        };
        Ok(ResponseHead { length: self.at, status: line.status, body })
    }
}

impl StatusLine {
    fn parse(line: &[u8]) -> Result<Self, Fault> {
        let (version, rest) = line.split_at_checked(8).ok_or(Fault::StatusLine)?;
        let (digits, reason) = match rest {
            [b' ', a, b, c] => ([a, b, c], &[][..]),
            [b' ', a, b, c, b' ', reason @ ..] => ([a, b, c], reason),
            _ => return Err(Fault::StatusLine),
        };
        check_value(reason)?;
        if !digits.iter().all(|digit| digit.is_ascii_digit()) {
            return Err(Fault::StatusLine);
        }
        let status = digits.iter().fold(0, |sum, &&digit| sum * 10 + u16::from(digit - b'0'));
        let http11 = is_http11(version).map_err(|_| Fault::StatusLine)?;
        if !(100..600).contains(&status) {
            return Err(Fault::StatusLine);
        }
        Ok(Self { http11, status })
    }
}
