//! Tells the preface of an HTTP/2 connection from everything else, and finds its first host.

use std::{
    future::Future as _,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use http::{HeaderValue, header::HOST};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Verdict, host_of};
use crate::types::HostName;

/// What a client with prior knowledge sends before its first frame (RFC 9113 section 3.4). No
/// HTTP/1 request can begin so: servers of HTTP/1 must fail on it.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Judges the bytes a client sent first.
pub(super) fn sniff(bytes: &[u8]) -> Verdict {
    if bytes.starts_with(PREFACE) {
        Verdict::Http2
    } else if PREFACE.starts_with(bytes) {
        Verdict::More
    } else {
        Verdict::Opaque
    }
}

/// The host of the first request in `bytes`, which begin with the preface; `None` where it is not
/// whole yet, or names no host in one valid way.
///
/// The head is read by h2 itself, which thinks that it serves the connection: it alone knows the
/// compression of fields (RFC 7541). What it would answer is thrown away.
#[must_use]
pub fn http2_host(bytes: &[u8]) -> Option<HostName> {
    let context = &mut Context::from_waker(Waker::noop());
    let handshake = pin!(h2::server::handshake(Seen(bytes)));
    let Poll::Ready(Ok(mut connection)) = handshake.poll(context) else { return None };
    let Poll::Ready(Some(Ok((request, _)))) = connection.poll_accept(context) else { return None };
    let fields = request.headers().get_all(HOST).iter();
    host_of(request.uri(), fields.map(HeaderValue::as_bytes))
}

/// The bytes seen so far, after which nothing more comes for now.
struct Seen<'a>(&'a [u8]);

impl AsyncRead for Seen<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.is_empty() {
            return Poll::Pending;
        }
        let (now, later) = self.0.split_at(self.0.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Seen<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::PREFACE;
    use crate::sniff::{Verdict, http2_host, sniff};

    /// SETTINGS, and HEADERS of a GET to `www.example.com` (RFC 7541 appendix C.4.1).
    const REQUEST: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
        \0\0\x11\x01\x05\0\0\0\x01\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";

    #[test]
    fn the_host_is_found_once_the_head_is_whole() {
        let bytes = [PREFACE, REQUEST].concat();
        for end in PREFACE.len()..bytes.len() {
            assert_eq!(http2_host(&bytes[..end]), None, "{end}");
        }
        let found = http2_host(&bytes).map(|host| host.to_string());
        assert_eq!(found.as_deref(), Some("www.example.com"));
    }

    #[test]
    fn the_preface_is_told_at_its_last_byte() {
        for end in 0..PREFACE.len() {
            assert_eq!(sniff(&PREFACE[..end]), Verdict::More, "{end}");
        }
        assert_eq!(sniff(PREFACE), Verdict::Http2);
        assert_eq!(sniff(&[PREFACE, b"\0\0\0\x04\0\0\0\0\0"].concat()), Verdict::Http2);
    }

    #[test]
    fn what_only_begins_like_the_preface_is_opaque() {
        assert_eq!(sniff(b"PRI * HTTP/2.0\r\n\r\nSX"), Verdict::Opaque);
        assert_eq!(sniff(b"PRI * HTTP/2.0\r\nHost: a.test\r\n\r\n"), Verdict::Opaque);
    }

    #[test]
    fn a_method_that_begins_alike_stays_http1() {
        let head = b"PRIX / HTTP/1.1\r\nHost: a.test\r\n\r\n";
        assert!(matches!(sniff(head), Verdict::Http1(_)));
    }
}
