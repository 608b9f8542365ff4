//! Tells the first message of a TLS client, and what it asks for.
//!
//! Here the message is put together from its records; [`client_hello`] reads it. Nothing of it is
//! read before the bytes its lengths announce are there: a beginning that grows read by read costs
//! a walk over record headers each time, and one parse at its end.
//!
//! The parser is our own. The message is checked as far as a server of TLS 1.0 to 1.3 would before
//! it looks at the values, and that takes less code than asking a library for it: rustls' `Acceptor`
//! (0.23) refuses clients without `signature_algorithms`, that is TLS 1.0 and 1.1, and tells nothing
//! of Encrypted Client Hello; `tls-parser` (0.12) reads no message that spans records, stops in silence
//! at the first extension it cannot read, and brings 20 crates. rustls is what the fuzz target
//! `client_hello` holds this parser against.

mod client_hello;

pub use client_hello::{ClientHello, ProtocolNames};

use super::{LONGEST, Verdict};

/// The content type of a record that carries a handshake message (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

/// The major version of SSL 3.0 and of every TLS. The minor one is to be ignored in records, and
/// negotiated in the message (RFC 8446 section 5.1, RFC 5246 appendix E.1).
const MAJOR_VERSION: u8 = 3;

/// Bytes a record that is not encrypted has at most (RFC 8446 section 5.1).
const LONGEST_FRAGMENT: usize = 1 << 14;

/// The type of the handshake message that opens a connection (RFC 8446 section 4).
const CLIENT_HELLO: u8 = 1;

/// Bytes of a handshake message's type and length.
const MESSAGE_HEADER: usize = 4;

/// No TLS, or not as its specification has it: a server would close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Malformed;

/// Judges the bytes a client sent first.
pub(super) fn sniff(bytes: &[u8]) -> Verdict {
    match first_message(bytes) {
        Ok(None) => Verdict::More,
        Ok(Some(message)) => ClientHello::parse(&message).map_or(Verdict::Opaque, Verdict::Tls),
        Err(Malformed) => Verdict::Opaque,
    }
}

/// The first handshake message with its header, once all of it is there. It must end where a
/// record does: a client has nothing more of this kind to say before it is answered.
fn first_message(bytes: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
    let mut fragments = Vec::new();
    let mut announced = 0;
    let mut rest = bytes;
    while let Some(record) = Record::first(rest)? {
        fragments.push(record.fragment);
        announced += record.length;
        let wanted = message_length(&fragments)?;
        if wanted.is_some_and(|wanted| announced > wanted) {
            return Err(Malformed);
        }
        if record.fragment.len() < record.length {
            break;
        }
        if wanted == Some(announced) {
            return Ok(Some(fragments.concat()));
        }
        rest = record.rest;
    }
    Ok(None)
}

/// Bytes of the message that the fragments begin, its header included, once they tell.
fn message_length(fragments: &[&[u8]]) -> Result<Option<usize>, Malformed> {
    let mut bytes = fragments.iter().copied().flatten().copied();
    if bytes.next().is_some_and(|kind| kind != CLIENT_HELLO) {
        return Err(Malformed);
    }
    let (Some(high), Some(middle), Some(low)) = (bytes.next(), bytes.next(), bytes.next()) else {
        return Ok(None);
    };
    let body = (usize::from(high) << 16) + usize::from(u16::from_be_bytes([middle, low]));
    let length = MESSAGE_HEADER + body;
    if length > LONGEST { Err(Malformed) } else { Ok(Some(length)) }
}

/// A record of a handshake message, as much of it as is there.
struct Record<'a> {
    /// Bytes its fragment has when it is complete.
    length: usize,
    /// Those of them that are there.
    fragment: &'a [u8],
    /// What follows the record.
    rest: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record that the bytes begin with, once its header is there.
    fn first(bytes: &'a [u8]) -> Result<Option<Self>, Malformed> {
        if bytes.first().is_some_and(|kind| *kind != HANDSHAKE)
            || bytes.get(1).is_some_and(|major| *major != MAJOR_VERSION)
        {
            return Err(Malformed);
        }
        let Some(([_, _, _, high, low], rest)) = bytes.split_first_chunk() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length == 0 || length > LONGEST_FRAGMENT {
            return Err(Malformed);
        }
        let (fragment, rest) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        Ok(Some(Self { length, fragment, rest }))
    }
}

#[cfg(test)]
mod tests;
