//! Reads a `ClientHello` (RFC 8446 section 4.1.2; RFC 5246 section 7.4.1.2 for older clients).
//!
//! Lengths are checked throughout, values only where they are used: whether client and server
//! can agree is for the server to say.

use std::fmt;

use super::{MESSAGE_HEADER, Malformed};
use crate::types::HostName;

/// The extension that names the server (RFC 6066 section 3).
const SERVER_NAME: u16 = 0;
/// Application-Layer Protocol Negotiation (RFC 7301 section 3.1).
const ALPN: u16 = 16;
/// Encrypted Client Hello (RFC 9849 section 5).
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

/// The one kind of server name there is (RFC 6066 section 3).
const HOST_NAME: u8 = 0;
/// Bytes of the version offered, and of the client's random value.
const VERSION_AND_RANDOM: usize = 2 + 32;
/// Bytes of the longest session id.
const LONGEST_SESSION_ID: usize = 32;

/// What the first message of a TLS client says about where it wants to go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The host it asks for (SNI, RFC 6066 section 3): `None` where it names none, or what no DNS
    /// name can be, an IP address for one.
    pub server_name: Option<HostName>,
    /// The protocols it offers to speak over TLS (ALPN, RFC 7301).
    pub alpn: ProtocolNames,
    /// Whether there is an Encrypted Client Hello (RFC 9849). If it is a real one, `server_name` is
    /// that of the provider's front, and the host that is meant cannot be known. But browsers send
    /// one of random bytes beside the true name wherever they have no key, made so that nobody can
    /// tell the two apart (RFC 9849 section 6.2, GREASE).
    pub encrypted: bool,
}

/// Names of protocols, most wanted first.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProtocolNames {
    /// As they came: a byte of length before each, which [`ProtocolNames::parse`] has checked.
    list: Box<[u8]>,
}

impl ClientHello {
    /// Reads the message, which is as long as its header says.
    pub(super) fn parse(message: &[u8]) -> Result<Self, Malformed> {
        let mut message = Reader(message);
        message.take(MESSAGE_HEADER)?;
        message.take(VERSION_AND_RANDOM)?;
        check(message.short_vector()?.len() <= LONGEST_SESSION_ID)?;
        let cipher_suites = message.vector()?;
        check(!cipher_suites.is_empty() && cipher_suites.len().is_multiple_of(2))?;
        let compression_methods = message.short_vector()?;
        check(!compression_methods.is_empty())?;
        if message.is_empty() {
            return Ok(Self::default()); // A client that knows no extensions.
        }
        let extensions = message.vector()?;
        check(message.is_empty())?;
        Self::from_extensions(Reader(extensions))
    }

    /// Reads the extensions that are of interest; none of them may come twice (RFC 8446
    /// section 4.2), for then nobody knows which one the server will take.
    fn from_extensions(mut extensions: Reader<'_>) -> Result<Self, Malformed> {
        let mut server_name = None;
        let mut alpn = None;
        let mut encrypted = None;
        while !extensions.is_empty() {
            let kind = u16::from_be_bytes(extensions.array()?);
            let data = extensions.vector()?;
            let again = match kind {
                SERVER_NAME => server_name.replace(server_name_of(data)?).is_some(),
                ALPN => alpn.replace(ProtocolNames::parse(data)?).is_some(),
                ENCRYPTED_CLIENT_HELLO => encrypted.replace(()).is_some(),
                _ => false,
            };
            check(!again)?;
        }
        Ok(Self {
            server_name: server_name.flatten(),
            alpn: alpn.unwrap_or_default(),
            encrypted: encrypted.is_some(),
        })
    }
}

/// The host name in a list of server names, of which it holds at most one. A name of another kind
/// ends what can be read: nobody has said how long it is.
fn server_name_of(data: &[u8]) -> Result<Option<HostName>, Malformed> {
    let mut names = Reader::whole_list(data)?;
    let mut host = None;
    while !names.is_empty() {
        let [kind] = names.array()?;
        if kind != HOST_NAME {
            break;
        }
        let name = names.vector()?;
        check(!name.is_empty() && host.replace(name).is_none())?;
    }
    Ok(host.and_then(dns_name))
}

/// A name of the DNS, which is how a server must be named: ASCII, and no IP address.
fn dns_name(bytes: &[u8]) -> Option<HostName> {
    let text = str::from_utf8(bytes).ok().filter(|text| text.is_ascii())?;
    HostName::parse(text).ok().filter(|name| name.ip().is_none())
}

impl ProtocolNames {
    fn parse(data: &[u8]) -> Result<Self, Malformed> {
        let mut names = Reader::whole_list(data)?;
        let list = names.0.into();
        while !names.is_empty() {
            check(!names.short_vector()?.is_empty())?;
        }
        Ok(Self { list })
    }

    /// The names in the client's order, `h2` and `http/1.1` among others; not always text.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut names = Reader(&self.list);
        std::iter::from_fn(move || names.short_vector().ok())
    }
}

impl fmt::Debug for ProtocolNames {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter().map(String::from_utf8_lossy)).finish()
    }
}

/// What is left of a structure in TLS' presentation language (RFC 8446 section 3).
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The elements of a vector that is all there is, and is not empty.
    fn whole_list(data: &'a [u8]) -> Result<Self, Malformed> {
        let mut data = Self(data);
        let list = data.vector()?;
        check(data.is_empty() && !list.is_empty())?;
        Ok(Self(list))
    }

    fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], Malformed> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*array)
    }

    /// A vector with one byte of length.
    fn short_vector(&mut self) -> Result<&'a [u8], Malformed> {
        let [length] = self.array()?;
        self.take(usize::from(length))
    }

    /// A vector with two bytes of length.
    fn vector(&mut self) -> Result<&'a [u8], Malformed> {
        let length = u16::from_be_bytes(self.array()?);
        self.take(usize::from(length))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }
}

fn check(holds: bool) -> Result<(), Malformed> {
    if holds { Ok(()) } else { Err(Malformed) }
}
