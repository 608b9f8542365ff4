//! Host names, brought to the one spelling by which they are compared.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// RFC 1035 section 2.3.4, written without the root's dot.
const MAX_NAME_BYTES: usize = 253;
/// RFC 1035 section 2.3.4.
const MAX_LABEL_BYTES: usize = 63;
/// A name of 253 characters of four UTF-8 bytes each. Anything longer is refused before IDNA,
/// so that a hostile header cannot buy processor time.
const MAX_INPUT_BYTES: usize = MAX_NAME_BYTES * 4;

/// A host name or IP literal in its one spelling: lower case, IDNA names as ASCII, no trailing
/// dot, no port, IPv6 without brackets. Cheap to clone.
///
/// Underscores are allowed in labels: names such as `_dmarc.example.com` exist.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Arc<str>);

/// Why a text is not a host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostNameError {
    /// Nothing is there, or only a dot.
    #[error("a host name cannot be empty")]
    Empty,
    /// Longer than the DNS can carry.
    #[error("a host name has at most {MAX_NAME_BYTES} bytes, this one has {length}")]
    TooLong {
        /// How many bytes there were.
        length: usize,
    },
    /// A leading dot, or two dots in a row.
    #[error("a label between two dots cannot be empty")]
    EmptyLabel,
    /// A label longer than the DNS can carry.
    #[error("a label has at most {MAX_LABEL_BYTES} bytes, one here has {length}")]
    LabelTooLong {
        /// How many bytes the label has.
        length: usize,
    },
    /// A character that no host name has.
    #[error("{character:?} cannot be part of a host name")]
    BadCharacter {
        /// The first such character.
        character: char,
    },
    /// Not ASCII, and not convertible by IDNA (UTS 46).
    #[error("not a valid internationalised name")]
    NotIdna,
    /// Brackets or several colons, but no IPv6 address.
    #[error("not a valid IPv6 address")]
    BadIpv6,
    /// What follows the colon is not a port.
    #[error("a port is a number from 1 to 65535")]
    BadPort,
}

impl HostName {
    /// Reads a host without a port: `Example.COM.`, `bücher.example`, `192.0.2.1`, `[::1]`, `::1`.
    pub fn parse(text: &str) -> Result<Self, HostNameError> {
        if is_plain(text) {
            return Ok(Self(Arc::from(text)));
        }
        if text.len() > MAX_INPUT_BYTES {
            return Err(HostNameError::TooLong { length: text.len() });
        }
        if text.starts_with('[') || text.matches(':').count() >= 2 {
            return parse_ipv6(text);
        }
        let ascii = to_ascii(text)?;
        let name = ascii.strip_suffix('.').unwrap_or(&ascii);
        check(name)?;
        Ok(Self(Arc::from(name)))
    }

    /// Reads the value of a `Host` header (RFC 9110 section 7.2): a host, and a port if one is
    /// written. IPv6 must be in brackets here; an empty port (`example.com:`) is no port.
    pub fn from_authority(text: &str) -> Result<(Self, Option<u16>), HostNameError> {
        if is_plain(text) {
            return Ok((Self(Arc::from(text)), None));
        }
        let (host, port) = split_port(text);
        if host.contains(':') && !host.starts_with('[') {
            return Err(HostNameError::BadCharacter { character: ':' });
        }
        Ok((Self::parse(host)?, port.map_or(Ok(None), parse_port)?))
    }

    /// The name in its one spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, if this is an IP literal and not a name to be resolved.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Borrow<str> for HostName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

fn parse_ipv6(text: &str) -> Result<HostName, HostNameError> {
    let inner = match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or(HostNameError::BadIpv6)?,
        None => text,
    };
    let address: Ipv6Addr = inner.parse().map_err(|_| HostNameError::BadIpv6)?;
    Ok(HostName(address.to_canonical().to_string().into()))
}

/// Whether this is a name in its one spelling already, as nearly all are.
fn is_plain(text: &str) -> bool {
    let mut label = 0;
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' if label < MAX_LABEL_BYTES => label += 1,
            b'.' if label > 0 => label = 0,
            _ => return false,
        }
    }
    label > 0 && text.len() <= MAX_NAME_BYTES
}

/// Lower-case ASCII. Borrows where the text is that already, as nearly all are.
fn to_ascii(text: &str) -> Result<Cow<'_, str>, HostNameError> {
    if !text.is_ascii() {
        // The deny list is empty because `check` is stricter, and tells which character it was.
        return idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::EMPTY)
            .map_err(|_| HostNameError::NotIdna);
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Ok(Cow::Owned(text.to_ascii_lowercase()));
    }
    Ok(Cow::Borrowed(text))
}

fn check(name: &str) -> Result<(), HostNameError> {
    if name.is_empty() {
        return Err(HostNameError::Empty);
    }
    if let Some(character) = name.chars().find(|&character| !is_host_character(character)) {
        return Err(HostNameError::BadCharacter { character });
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(HostNameError::TooLong { length: name.len() });
    }
    name.split('.').try_for_each(check_label)
}

fn is_host_character(character: char) -> bool {
    matches!(character, 'a'..='z' | '0'..='9' | '-' | '_' | '.')
}

fn check_label(label: &str) -> Result<(), HostNameError> {
    match label.len() {
        0 => Err(HostNameError::EmptyLabel),
        1..=MAX_LABEL_BYTES => Ok(()),
        length => Err(HostNameError::LabelTooLong { length }),
    }
}

/// Splits at the last colon that is outside brackets.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    }
}

fn parse_port(text: &str) -> Result<Option<u16>, HostNameError> {
    if text.is_empty() {
        return Ok(None);
    }
    // `parse` alone would take a leading `+`.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HostNameError::BadPort);
    }
    match text.parse() {
        Ok(0) | Err(_) => Err(HostNameError::BadPort),
        Ok(port) => Ok(Some(port)),
    }
}

#[cfg(test)]
mod tests;
