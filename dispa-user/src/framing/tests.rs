//! What passes and what does not, whole and in pieces.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{chunked::Chunked, *};

const LIMITS: HeadLimits = HeadLimits { bytes: 400, fields: 8, target: 100 };

fn request(text: &str) -> Result<Option<RequestHead>, Fault> {
    let whole = RequestScan::new(LIMITS).advance(text.as_bytes());
    let mut scan = RequestScan::new(LIMITS);
    let mut pieces = Ok(None);
    for end in 0..=text.len() {
        pieces = scan.advance(&text.as_bytes()[..end]);
        if !matches!(pieces, Ok(None)) {
            break;
        }
    }
    assert_eq!(whole, pieces, "{text:?}: it must not matter how the bytes come");
    whole
}

fn response(text: &str, to_head: bool) -> Result<Option<ResponseHead>, Fault> {
    ResponseScan::new(LIMITS).advance(text.as_bytes(), to_head)
}

#[test]
fn sound_requests_pass() {
    for (line, fields, body) in [
        ("GET / HTTP/1.1", "host: a\r\n", BodyFrame::known(0)),
        ("GET / HTTP/1.0", "Host:\ta \t\r\n", BodyFrame::known(0)),
        ("\r\nGET /?q=%20|{} HTTP/1.1", "hOsT: a:80\r\nx:\r\ny: \u{e9}\r\n", BodyFrame::known(0)),
        ("GET http://A.test HTTP/1.1", "host: a.test:80\r\n", BodyFrame::known(0)),
        ("GET http://a.test:8080/ HTTP/1.1", "host: a.test:8080\r\n", BodyFrame::known(0)),
        ("OPTIONS * HTTP/1.1", "host: a\r\n", BodyFrame::known(0)),
        ("CONNECT a:443 HTTP/1.1", "host: a:443\r\n", BodyFrame::known(0)),
        ("post-it / HTTP/1.1", "host: a\r\ncontent-length: 007\r\n", BodyFrame::known(7)),
        (
            "POST / HTTP/1.1",
            "host: a\r\nTransfer-Encoding: Chunked\r\n",
            BodyFrame::chunked(LIMITS),
        ),
        ("POST / HTTP/1.1", "host: a\r\nexpect: 100-Continue\r\n", BodyFrame::known(0)),
    ] {
        let text = format!("{line}\r\n{fields}\r\nrest");
        let expected = RequestHead { length: text.len() - 4, body };
        assert_eq!(request(&text), Ok(Some(expected)), "{text:?}");
    }
}

#[test]
fn unsound_requests_do_not() {
    let long = "x".repeat(101);
    for (text, fault) in [
        ("GET / HTTP/1.1\r\n\r\n", Fault::Host),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", Fault::Host),
        ("GET / HTTP/1.1\r\nhost:\r\n\r\n", Fault::Host),
        ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n", Fault::Host),
        ("GET / HTTP/1.1\r\nhost: a@b\r\n\r\n", Fault::Host),
        ("GET http://a/ HTTP/1.1\r\nhost: b\r\n\r\n", Fault::Host),
        ("GET http://a:8080/ HTTP/1.1\r\nhost: a\r\n\r\n", Fault::Host),
        ("GET http://a/ HTTP/1.1\r\nhost: a:8080\r\n\r\n", Fault::Host),
        ("GET / HTTP/1.1\nhost: a\n\n", Fault::LineEnd),
        ("GET / HTTP/1.1\r\nhost: a\n\r\n", Fault::LineEnd),
        ("GET / HTTP/1.1\r\nhost: a\rb\r\n\r\n", Fault::LineEnd),
        ("\r\n\r\nGET / HTTP/1.1\r\n", Fault::EmptyLines),
        ("GET  / HTTP/1.1\r\n", Fault::RequestLine),
        ("GET / HTTP/1.1 \r\n", Fault::RequestLine),
        ("GET /\r\n", Fault::RequestLine),
        ("GET / http/1.1\r\n", Fault::RequestLine),
        ("GET / HTTP/2.0\r\n", Fault::Version),
        ("GET / HTTP/1.2\r\n", Fault::Version),
        ("G(T / HTTP/1.1\r\n", Fault::Method),
        (" / HTTP/1.1\r\n", Fault::Method),
        ("GET * HTTP/1.1\r\n", Fault::Target),
        ("GET x HTTP/1.1\r\n", Fault::Target),
        ("GET ftp://a/ HTTP/1.1\r\n", Fault::Target),
        ("GET http:/// HTTP/1.1\r\n", Fault::Target),
        ("GET http://u@a/ HTTP/1.1\r\n", Fault::Target),
        ("GET /\u{e9} HTTP/1.1\r\n", Fault::Target),
        ("GET /#x HTTP/1.1\r\n", Fault::Target),
        (&format!("GET /{long} HTTP/1.1\r\n"), Fault::TargetTooLong),
        ("GET / HTTP/1.1\r\nhost : a\r\n", Fault::FieldName),
        ("GET / HTTP/1.1\r\n: a\r\n", Fault::FieldName),
        ("GET / HTTP/1.1\r\nx\r\n", Fault::FieldName),
        ("GET / HTTP/1.1\r\nx: a\r\n b\r\n", Fault::Folded),
        ("GET / HTTP/1.1\r\n x: a\r\n", Fault::Folded),
        ("GET / HTTP/1.1\r\nx: a\0\r\n", Fault::FieldValue),
        ("GET / HTTP/1.1\r\nx: a\u{7f}\r\n", Fault::FieldValue),
        ("GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n", Fault::ContentLength),
        ("GET / HTTP/1.1\r\ncontent-length: 1, 1\r\n", Fault::ContentLength),
        ("GET / HTTP/1.1\r\ncontent-length: +1\r\n", Fault::ContentLength),
        ("GET / HTTP/1.1\r\ncontent-length: 0x1\r\n", Fault::ContentLength),
        ("GET / HTTP/1.1\r\ncontent-length:\r\n", Fault::ContentLength),
        ("GET / HTTP/1.1\r\ncontent-length: 9223372036854775808\r\n", Fault::ContentLength),
        ("GET / HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n", Fault::TransferEncoding),
        ("GET / HTTP/1.1\r\ntransfer-encoding: identity\r\n", Fault::TransferEncoding),
        ("GET / HTTP/1.1\r\nexpect: x\r\n", Fault::Expectation),
        (
            "GET / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
            Fault::TransferEncoding,
        ),
        (
            "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n",
            Fault::TwoLengths,
        ),
    ] {
        assert_eq!(request(text), Err(fault), "{text:?}");
    }
}

#[test]
fn heads_are_limited_in_bytes_and_fields() {
    let fields = |count| format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(count));
    assert!(matches!(request(&fields(7)), Ok(Some(_))));
    assert_eq!(request(&fields(8)), Err(Fault::TooManyFields));
    let value = |length| format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}", "y".repeat(length));
    assert_eq!(request(&value(300)), Ok(None));
    assert_eq!(request(&value(400)), Err(Fault::HeadTooLarge));
}

#[test]
fn a_responses_body_depends_on_its_status_and_on_what_it_answers() {
    let (known, chunked) = (BodyFrame::known, || BodyFrame::chunked(LIMITS));
    for (head, to_head, body) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5", false, known(5)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5", true, known(0)),
        ("HTTP/1.1 200 \r\ntransfer-encoding: chunked", false, chunked()),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 5", false, known(0)),
        ("HTTP/1.1 204 No Content\r\nx: y", false, known(0)),
        ("HTTP/1.1 103 Early Hints\r\nlink: x", false, known(0)),
        ("HTTP/1.0 200 OK\r\nx: y", false, BodyFrame::until_close()),
    ] {
        let found = response(&format!("{head}\r\n\r\n"), to_head).expect(head).expect(head);
        assert_eq!(found.body, body, "{head}");
    }
}

#[test]
fn unsound_responses_do_not_pass() {
    for (text, fault) in [
        ("HTTP/1.1 99 x\r\n", Fault::StatusLine),
        ("HTTP/1.1 600 x\r\n", Fault::StatusLine),
        ("HTTP/1.1  200 OK\r\n", Fault::StatusLine),
        ("HTTP/1.1 +20 OK\r\n", Fault::StatusLine),
        ("HTTP/2.0 200 OK\r\n", Fault::StatusLine),
        ("ICY 200 OK\r\n", Fault::StatusLine),
        ("HTTP/1.1 200 \0\r\n", Fault::FieldValue),
        ("HTTP/1.1 200 OK\nx: y\r\n", Fault::LineEnd),
        ("HTTP/1.1 200 OK\r\nx : y\r\n", Fault::FieldName),
        ("HTTP/1.1 200 OK\r\nx: y\r\n z\r\n", Fault::Folded),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n", Fault::ContentLength),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n", Fault::TransferEncoding),
        ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Fault::TransferEncoding),
    ] {
        assert_eq!(response(text, false), Err(fault), "{text:?}");
    }
}

fn chunks(text: &str, step: usize) -> Result<(usize, bool), Fault> {
    let mut chunked = Chunked::new(LIMITS);
    let mut taken = 0;
    for piece in text.as_bytes().chunks(step) {
        taken += chunked.advance(piece)?;
    }
    Ok((taken, chunked.is_done()))
}

#[test]
fn sound_chunks_end_where_they_end() {
    for text in [
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "00000000000000a\r\n0123456789\r\n000\r\n\r\n",
        "1;a\r\nx\r\n1;b=c;d=\"e\\\"f\"\r\ny\r\n0;z\r\n\r\n",
        "0\r\nx-sum: 1\r\ny:\r\n\r\n",
    ] {
        for step in 1..=text.len() {
            let text = format!("{text}rest");
            assert_eq!(chunks(&text, step), Ok((text.len() - 4, true)), "{text:?}");
        }
    }
}

#[test]
fn unsound_chunks_do_not_pass() {
    for text in [
        "\r\n",
        ";a\r\n",
        "x\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\n",
        "1 \r\n",
        " 1\r\n",
        "1\n",
        "1\r\r",
        "8000000000000000\r\n",
        "00000000000000001\r\n",
        "1\r\nxy",
        "1\r\nx\n",
        "1\r\nx\ry",
        "1;\r\n",
        "1;a=\r\n",
        "1;a b\r\n",
        "1; a\r\n",
        "1;a=\"b\r\n",
        "1;a\nb\r\n",
        "1;a=\"b\"c\r\n",
    ] {
        for step in 1..=text.len() {
            assert_eq!(chunks(text, step), Err(Fault::Chunk), "{text:?}");
        }
    }
    for text in [
        "0\r\nhost: a\r\n",
        "0\r\nContent-Length: 1\r\n",
        "0\r\nTransfer-Encoding: x\r\n",
        "0\r\n x: y\r\n",
        "0\r\nx : y\r\n",
        "0\r\nx: \0\r\n",
        "0\r\nx: y\n",
        "0\r\n\rx",
    ] {
        assert_eq!(chunks(text, 3), Err(Fault::Trailer), "{text:?}");
    }
    assert_eq!(chunks(&format!("1;{}\r\n", "a".repeat(1025)), 7), Err(Fault::Chunk));
    assert_eq!(chunks(&format!("0\r\n{}", "x: y\r\n".repeat(9)), 7), Err(Fault::Trailer));
}

#[test]
fn the_first_frame_is_settings() {
    let limits = FloodLimits { resets: 2, control: 3 };
    let mut frames = Frames::new(limits, Instant::now());
    let first = [&[b'P'; 24][..], &frame(6, 0, &[0; 8])].concat();
    assert_eq!(frames.advance(&first, Instant::now()), Err(FrameFault::NoSettings));
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short one");
    [&[0, 0, length, kind, flags, 0, 0, 0, 1], payload].concat()
}

#[test]
fn frames_are_counted_by_the_second_and_by_their_kind() {
    let start = Instant::now();
    let limits = FloodLimits { resets: 2, control: 3 };
    for (kind, flags, payload, allowed) in [
        (3, 0, &[0; 4][..], Some(2)),
        (6, 0, &[0; 8][..], Some(3)),
        (4, 0, &[][..], Some(3)),
        (0, 0, &[][..], Some(3)),
        (0, 1, &[][..], None),
        (0, 0, &[3; 9][..], None),
        (1, 4, &[3; 9][..], None),
        (8, 0, &[0; 4][..], None),
    ] {
        let mut frames = Frames::new(limits, start);
        assert_eq!(frames.advance(&[&[b'P'; 24][..], &frame(4, 0, &[])].concat(), start), Ok(()));
        let one = frame(kind, flags, payload);
        let mut now = start;
        for _ in 0..2 {
            for _ in 0..allowed.unwrap_or(10) {
                assert_eq!(frames.advance(&one, now), Ok(()), "{kind}");
            }
            now += Duration::from_secs(1);
        }
        now -= Duration::from_secs(1);
        assert_eq!(frames.advance(&one, now).is_err(), allowed.is_some(), "{kind}");
    }
}

proptest! {
    /// However the bytes are split, the verdict is the same, and nothing panics.
    #[test]
    fn chunked_bodies_are_judged_alike_whatever_the_pieces(
        text in "[0-9a-f;x=\"\\r\\n:]{0,40}", step in 1..9_usize
    ) {
        let whole = chunks(&text, text.len().max(1));
        prop_assert_eq!(chunks(&text, step), whole);
    }

    #[test]
    fn heads_are_judged_alike_whatever_the_pieces(
        text in "(GET|POST) [/*x][ -~]{0,8} HTTP/1\\.[0-2]\r\n([Hh]ost: ?[a-z:]{0,4}\r?\n|[a-z: ]{0,5}\r\n){0,5}\r\n"
    ) {
        let _ = request(&text);
    }

    #[test]
    fn frames_are_counted_alike_whatever_the_pieces(
        kinds in prop::collection::vec((0..10_u8, 0..2_u8, 0..20_usize), 0..40), step in 1..30_usize
    ) {
        let bytes: Vec<u8> = [vec![0; 24], frame(4, 0, &[])]
            .into_iter()
            .chain(kinds.iter().map(|(kind, flags, length)| frame(*kind, *flags, &vec![9; *length])))
            .flatten()
            .collect();
        let (start, limits) = (Instant::now(), FloodLimits { resets: 2, control: 5 });
        let judge = |step: usize| {
            let mut frames = Frames::new(limits, start);
            bytes.chunks(step).try_for_each(|piece| frames.advance(piece, start))
        };
        prop_assert_eq!(judge(step), judge(bytes.len()));
    }
}
