//! One line of a head, and the alphabets of RFC 9110 section 5.

use super::Fault;

/// A field line, its value without the white space around it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
}

/// Where a line ends.
pub(super) enum Line<'a> {
    /// It has not ended yet.
    Partial,
    /// Its bytes without the CR LF.
    Whole(&'a [u8]),
}

/// The line that begins at `start`, if it ends at or after `searched`.
pub(super) fn line(bytes: &[u8], start: usize, searched: usize) -> Result<Line<'_>, Fault> {
    let unseen = bytes.get(searched..).unwrap_or_default();
    let Some(end) = memchr::memchr(b'\n', unseen).map(|found| searched + found) else {
        return Ok(Line::Partial);
    };
    let line = bytes.get(start..end).unwrap_or_default();
    line.strip_suffix(b"\r").map(Line::Whole).ok_or(Fault::LineEnd)
}

impl<'a> Field<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, Fault> {
        if let [b' ' | b'\t', ..] = line {
            return Err(Fault::Folded);
        }
        let colon = memchr::memchr(b':', line).ok_or(Fault::FieldName)?;
        let (name, value) = (line.get(..colon).unwrap_or_default(), line.get(colon + 1..));
        let value = value.unwrap_or_default();
        if name.is_empty() || !name.iter().all(|&byte| is_tchar(byte)) {
            return Err(Fault::FieldName);
        }
        check_value(value)?;
        Ok(Self { name, value: trim(value) })
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// RFC 9110 section 5.6.2.
pub(super) const fn is_tchar(byte: u8) -> bool {
    TCHAR[byte as usize]
}

const TCHAR: [bool; 256] = {
    let mut table = [false; 256];
    let all = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut index = 0;
    while index < all.len() {
        table[all[index] as usize] = true;
        index += 1;
    }
    table
};

/// Whether a field's value may have this byte in it (RFC 9110 section 5.5).
pub(super) const fn is_in_value(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || byte == b'\t'
}

/// A stray CR is told from other control characters: it is how lines are split.
pub(super) fn check_value(value: &[u8]) -> Result<(), Fault> {
    let (words, rest) = value.as_chunks::<8>();
    let plain = words.iter().all(|word| is_plain(*word)) && rest.iter().all(|&it| is_in_value(it));
    if plain { Ok(()) } else { check_each(value) }
}

/// Whether none of eight bytes is a control character or DEL: all at once, by the borrows that a
/// subtraction makes in bytes that are too small.
const fn is_plain(word: [u8; 8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let word = u64::from_ne_bytes(word);
    let small = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    let del = word ^ (ONES * 0x7f);
    let del = del.wrapping_sub(ONES) & !del & HIGHS;
    small | del == 0
}

fn check_each(value: &[u8]) -> Result<(), Fault> {
    match value.iter().find(|&&byte| !is_in_value(byte)) {
        None => Ok(()),
        Some(b'\r') => Err(Fault::LineEnd),
        Some(_) => Err(Fault::FieldValue),
    }
}

/// Without the optional white space around it (RFC 9110 section 5.6.3).
fn trim(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let Some(start) = value.iter().position(|byte| !is_space(byte)) else { return &[] };
    let end = value.iter().rposition(|byte| !is_space(byte)).unwrap_or(start);
    value.get(start..=end).unwrap_or_default()
}

/// The fields by which a message's end is found (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths {
    length: Option<u64>,
    chunked: bool,
}

impl Lengths {
    pub(super) const fn new() -> Self {
        Self { length: None, chunked: false }
    }

    /// Takes a field in if it is one of them.
    pub(super) fn note(&mut self, field: &Field<'_>) -> Result<(), Fault> {
        match field.name.len() {
            14 if field.is("content-length") => {
                let length = decimal(field.value).filter(|_| self.length.is_none());
                self.length = Some(length.ok_or(Fault::ContentLength)?);
            }
            17 if field.is("transfer-encoding") => {
                if self.chunked || !field.value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Fault::TransferEncoding);
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// What they say together, in a message of HTTP/1.1 or 1.0.
    pub(super) fn finish(self, http11: bool) -> Result<Length, Fault> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Fault::TwoLengths),
            (true, None) if !http11 => Err(Fault::TransferEncoding),
            (true, None) => Ok(Length::Chunked),
            (false, Some(length)) => Ok(Length::Known(length)),
            (false, None) => Ok(Length::Unsaid),
        }
    }
}

/// What a head says of the length of what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Unsaid,
    Known(u64),
    Chunked,
}

/// Digits alone, up to the largest length that every implementation can hold.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(text).ok()?.parse::<u64>().ok()?;
    (number <= i64::MAX.unsigned_abs()).then_some(number)
}
