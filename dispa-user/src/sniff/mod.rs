//! What the first bytes of a connection are. Pure: bytes in, verdict out.
//!
//! One file per protocol, each of which knows its own alone and calls everything else opaque.

mod http1;
mod http2;
mod tls;

pub use http1::{Http1Head, begun as http1_begun, host_of};
pub use http2::http2_host;
pub use tls::{ClientHello, ProtocolNames};

/// Bytes of the longest beginning that is waited for: a request's head, or a `ClientHello` with
/// the headers of its records. What is not told by then is relayed unread.
const LONGEST: usize = 64 * 1024;

/// What the bytes seen so far are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// More bytes are needed to tell.
    More,
    /// The complete head of an HTTP/1 request for one host.
    Http1(Http1Head),
    /// The preface of an HTTP/2 connection in clear text (RFC 9113 section 3.4), complete.
    Http2,
    /// The complete first message of a TLS client.
    Tls(ClientHello),
    /// None of these, or one that is malformed or names no host in one valid way: nothing to
    /// match a rule with.
    Opaque,
}

/// Judges the bytes a client sent first. The verdict on a longer input never contradicts one
/// that was already given on its beginning.
#[must_use]
pub fn sniff(bytes: &[u8]) -> Verdict {
    let beginning = bytes.get(..LONGEST).unwrap_or(bytes);
    let told = [http2::sniff, tls::sniff, http1::sniff]
        .iter()
        .map(|sniff| sniff(beginning))
        .find(|verdict| *verdict != Verdict::Opaque);
    match told {
        Some(Verdict::More) if bytes.len() < LONGEST => Verdict::More,
        Some(Verdict::More) | None => Verdict::Opaque,
        Some(verdict) => verdict,
    }
}

#[cfg(test)]
mod tests;
