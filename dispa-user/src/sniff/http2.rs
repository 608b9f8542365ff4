//! Tells the preface of an HTTP/2 connection from everything else.

use super::Verdict;

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

#[cfg(test)]
mod tests {
    use super::PREFACE;
    use crate::sniff::{Verdict, sniff};

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
