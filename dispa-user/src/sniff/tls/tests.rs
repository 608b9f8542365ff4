//! Real hellos, read right, and each way in which one can be malformed.

use super::{ClientHello, LONGEST, LONGEST_FRAGMENT};
use crate::sniff::tests::{hello, hellos, in_records, record};
use crate::sniff::{Verdict, sniff};
use crate::types::HostName;

/// What is told of a hello: its name, its protocols, whether it is encrypted.
type Told<'a> = (Option<&'a str>, &'a [&'a str], bool);

fn told(bytes: &[u8]) -> ClientHello {
    match sniff(bytes) {
        Verdict::Tls(hello) => hello,
        verdict => panic!("{verdict:?}"),
    }
}

fn is(bytes: &[u8], (name, alpn, encrypted): Told<'_>) -> bool {
    let hello = told(bytes);
    hello.server_name.as_ref().map(HostName::as_str) == name
        && hello.alpn.iter().eq(alpn.iter().map(|name| name.as_bytes()))
        && hello.encrypted == encrypted
}

#[test]
fn real_clients() {
    const WEB: &[&str] = &["h2", "http/1.1"];
    let cases: [(&str, Told<'_>); 19] = [
        ("as-chrome-136", (Some("chrome136.dispa.test"), WEB, true)),
        ("as-firefox-135", (Some("firefox135.dispa.test"), WEB, true)),
        ("as-safari-18", (Some("safari180.dispa.test"), WEB, false)),
        ("curl-7.88", (Some("curl.dispa.test"), WEB, false)),
        ("curl-7.88-address", (None, WEB, false)),
        ("java-17-alpn", (Some("java.dispa.test"), WEB, false)),
        ("java-17-no-name", (None, &[], false)),
        ("node-20", (Some("node.dispa.test"), WEB, false)),
        ("node-24", (Some("node.dispa.test"), &["http/1.1"], false)),
        ("openssl-3.0", (Some("openssl.dispa.test"), &[], false)),
        ("openssl-3.0-address-as-name", (None, &[], false)),
        ("openssl-3.0-no-name", (None, &[], false)),
        ("openssl-3.0-tls10", (Some("openssl.dispa.test"), &[], false)),
        ("openssl-3.0-tls12", (Some("openssl.dispa.test"), &[], false)),
        ("openssl-3.0-tls12-no-name", (None, &[], false)),
        ("openssl-3.0-tls13-curves-alpn", (Some("openssl.dispa.test"), WEB, false)),
        ("python-3.13", (Some("python.dispa.test"), &[], false)),
        ("python-3.6-no-name", (None, &[], false)),
        ("wget-1.21-gnutls", (Some("localhost"), &[], false)),
    ];
    for (file, expected) in cases {
        assert!(is(&hello(file), expected), "{file}: {:?}", sniff(&hello(file)));
    }
}

#[test]
fn a_hello_in_two_records() {
    let hello = told(&hello("openssl-3.0-two-records"));
    let name = "a-rather-long-label-that-makes-the-hello-longer.openssl.dispa.test";
    assert_eq!(hello.server_name.expect("a name").as_str(), name);
    assert_eq!(hello.alpn.iter().count(), 31);
    assert_eq!(hello.alpn.iter().last(), Some(&b"radius/1.1"[..]));
}

#[test]
fn every_beginning_needs_more_and_what_follows_changes_nothing() {
    for hello in hellos() {
        let verdict = sniff(&hello);
        for end in 0..hello.len() {
            assert_eq!(sniff(&hello[..end]), Verdict::More);
        }
        // Early data comes after a change_cipher_spec record, in records of application data.
        for after in [&b"\x14\x03\x03\x00\x01\x01"[..], b"\x17\x03\x03", b"\x16", b"GET "] {
            assert_eq!(sniff(&[&hello, after].concat()), verdict);
        }
    }
}

/// A hello to be made, right until something is changed.
#[derive(Clone)]
struct Made {
    version: [u8; 2],
    session_id: Vec<u8>,
    cipher_suites: Vec<u8>,
    compression_methods: Vec<u8>,
    extensions: Option<Vec<u8>>,
    after: Vec<u8>,
}

impl Made {
    fn new() -> Self {
        Self {
            version: [3, 3],
            session_id: vec![7; 32],
            cipher_suites: vec![0x13, 1],
            compression_methods: vec![0],
            extensions: None,
            after: Vec::new(),
        }
    }

    fn with(extensions: &[Vec<u8>]) -> Self {
        Self { extensions: Some(extensions.concat()), ..Self::new() }
    }

    fn message(&self) -> Vec<u8> {
        let mut body = [&self.version[..], &[9; 32]].concat();
        body.extend(short_vector(&self.session_id));
        body.extend(vector(&self.cipher_suites));
        body.extend(short_vector(&self.compression_methods));
        body.extend(self.extensions.iter().flat_map(|extensions| vector(extensions)));
        body.extend_from_slice(&self.after);
        message(&body)
    }

    fn verdict(&self) -> Verdict {
        sniff(&self.message().chunks(LONGEST_FRAGMENT).flat_map(record).collect::<Vec<_>>())
    }

    fn hello(&self) -> ClientHello {
        match self.verdict() {
            Verdict::Tls(hello) => hello,
            verdict => panic!("{verdict:?}"),
        }
    }
}

fn message(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a short message").to_be_bytes();
    [&[1], &length[1..], body].concat()
}

fn short_vector(content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("a short vector");
    [&[length], content].concat()
}

fn vector(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a short vector").to_be_bytes();
    [&length, content].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes(), &vector(data)[..]].concat()
}

fn host_name(name: &[u8]) -> Vec<u8> {
    [&[0], &vector(name)[..]].concat()
}

fn server_name(name: &[u8]) -> Vec<u8> {
    extension(0, &vector(&host_name(name)))
}

fn alpn(names: &[&[u8]]) -> Vec<u8> {
    let names: Vec<_> = names.iter().flat_map(|name| short_vector(name)).collect();
    extension(16, &vector(&names))
}

#[test]
fn a_client_without_extensions() {
    assert_eq!(Made::new().hello(), ClientHello::default());
    assert_eq!(Made::with(&[]).hello(), ClientHello::default());
    let old = Made { version: [3, 0], session_id: Vec::new(), ..Made::new() };
    assert_eq!(old.hello(), ClientHello::default());
    // Servers answer a version they do not know with the highest they do (RFC 5246 appendix E.1).
    let future = Made { version: [4, 9], ..Made::new() };
    assert_eq!(future.hello(), ClientHello::default());
}

#[test]
fn all_that_is_of_interest_at_once() {
    let hello = Made::with(&[
        extension(0x1a1a, b""),
        alpn(&[b"\x0a\x0a", b"h2"]),
        extension(0xfe0d, b"anything"),
        server_name(b"A.Test"),
        extension(0x1a1a, b"again"),
    ])
    .hello();
    assert_eq!(hello.server_name.expect("a name").as_str(), "a.test");
    assert_eq!(hello.alpn.iter().collect::<Vec<_>>(), [&b"\x0a\x0a"[..], b"h2"]);
    assert!(hello.encrypted);
}

#[test]
fn what_no_dns_name_can_be_is_no_name() {
    let longest = [b'a'; 64];
    let no_names = [
        &b"192.0.2.1"[..],
        b"::1",
        b"[::1]",
        b"a.test:443",
        b"a test",
        b"a\0.test",
        b"a..test",
        b".",
        b"*.test",
        b"\xff\xfe",
        "b\u{fc}cher.test".as_bytes(), // Must be spelt xn--bcher-kva.test (RFC 6066 section 3).
        &longest,
    ];
    for name in no_names {
        assert_eq!(Made::with(&[server_name(name)]).hello(), ClientHello::default(), "{name:?}");
    }
}

#[test]
fn a_name_of_another_kind_ends_the_list() {
    let name_in = |list: &[u8]| Made::with(&[extension(0, &vector(list))]).hello().server_name;
    let host = host_name(b"a.test");
    let name = name_in(&[&host[..], b"\x01anything"].concat()).expect("a name");
    assert_eq!(name.as_str(), "a.test");
    assert_eq!(name_in(&[&b"\x01"[..], &host].concat()), None);
}

#[test]
fn malformed_extensions_are_opaque() {
    let two_hosts = [host_name(b"a.test"), host_name(b"b.test")].concat();
    let malformed = [
        vec![server_name(b"a.test"), server_name(b"a.test")],
        vec![alpn(&[b"h2"]), alpn(&[b"h2"])],
        vec![extension(0xfe0d, b""), extension(0xfe0d, b"")],
        vec![extension(0, b"")],
        vec![extension(0, &vector(b""))],
        vec![extension(0, &vector(&two_hosts))],
        vec![extension(0, &[vector(&host_name(b"a.test")), vec![0]].concat())],
        vec![extension(0, &vector(b"\0\0\x07a.test"))],
        vec![extension(0, &vector(b"\0"))],
        vec![server_name(b"")],
        vec![extension(16, b"")],
        vec![alpn(&[])],
        vec![alpn(&[b"h2", b""])],
        vec![extension(16, &vector(b"\x03h2"))],
        vec![extension(16, &[vector(b"\x02h2"), vec![0]].concat())],
        vec![b"\0".to_vec()],
        vec![b"\0\x17\0".to_vec()],
        vec![b"\0\x17\0\x01".to_vec()],
    ];
    for extensions in malformed {
        assert_eq!(Made::with(&extensions).verdict(), Verdict::Opaque, "{extensions:x?}");
    }
}

#[test]
fn malformed_messages_are_opaque() {
    let right = Made::with(&[server_name(b"a.test")]);
    assert!(matches!(right.verdict(), Verdict::Tls(_)));
    let malformed = [
        Made { session_id: vec![7; 33], ..right.clone() },
        Made { cipher_suites: vec![], ..right.clone() },
        Made { cipher_suites: vec![0x13, 1, 0x13], ..right.clone() },
        Made { compression_methods: vec![], ..right.clone() },
        Made { after: vec![0], ..right.clone() },
        Made { extensions: None, after: vec![0], ..right },
    ];
    for made in malformed {
        assert_eq!(made.verdict(), Verdict::Opaque, "{:x?}", made.message());
    }
}

#[test]
fn a_message_cut_short_is_opaque() {
    for hello in hellos() {
        let whole = crate::sniff::tests::message(&hello);
        let opaque = |length: usize| sniff(&record(&message(&whole[4..length]))) == Verdict::Opaque;
        // Without its extensions a hello is whole again; nowhere else.
        assert_eq!((4..whole.len()).filter(|length| !opaque(*length)).count(), 1);
    }
}

#[test]
fn a_message_that_ends_within_a_record_is_opaque() {
    let mut message = Made::new().message();
    message.push(1);
    assert_eq!(sniff(&record(&message)), Verdict::Opaque);
    let [first, last] = [&message[..9], &message[9..]].map(record);
    assert_eq!(
        sniff(&[&first[..], &last[..6]].concat()),
        Verdict::Opaque,
        "told as soon as can be"
    );
}

#[test]
fn something_between_the_records_is_opaque() {
    let hello = in_records(&hello("curl-7.88"), 100);
    for between in [&b"\x15"[..], b"\x17", b"\x14", b"\x16\x02", b"\x16\x03\x01\0\0"] {
        assert_eq!(sniff(&[&hello[..105], between].concat()), Verdict::Opaque, "{between:x?}");
    }
}

#[test]
fn a_record_has_at_most_16_kib() {
    let start = |length: u16| [&[22, 3, 1], &length.to_be_bytes()[..], &[1, 0, 0x60, 0]].concat();
    assert_eq!(sniff(&start(0x4000)), Verdict::More);
    assert_eq!(sniff(&start(0x4001)), Verdict::Opaque);
}

#[test]
fn a_hello_has_at_most_64_kib_with_its_record_headers() {
    let padded = |padding| Made::with(&[server_name(b"a.test"), extension(21, &vec![0; padding])]);
    let headers = 4 * 5;
    let least = Made::with(&[server_name(b"a.test"), extension(21, b"")]).message().len();
    let most = LONGEST - headers - least;
    assert!(matches!(padded(most).verdict(), Verdict::Tls(_)));
    assert_eq!(padded(most + 1).verdict(), Verdict::Opaque);
}

#[test]
fn a_length_that_cannot_be_met_is_opaque_at_once() {
    assert_eq!(sniff(b"\x16\x03\x01\x40\x00\x01\x00\xff\xfc"), Verdict::More);
    assert_eq!(sniff(b"\x16\x03\x01\x40\x00\x01\x00\xff\xfd"), Verdict::Opaque);
    assert_eq!(sniff(b"\x16\x03\x01\x40\x00\x01\x01\x00\x00"), Verdict::Opaque);
}
