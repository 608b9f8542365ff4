//! What holds for all protocols: one verdict, whatever the split of the bytes into reads.

use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{LONGEST, Verdict, sniff};

/// A file of `hellos/`: what a real client sent to a socket that only read, in hexadecimal.
macro_rules! hellos {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("tests/hellos/", $name, ".hex")))),*]
    };
}

/// First messages of real TLS clients, by name. Those `as` a browser are curl-impersonate's
/// (through Python's `curl_cffi` 0.16.3), which sends with the browser's TLS library what it sends.
const HELLOS: [(&str, &str); 20] = hellos! {
    "as-chrome-136" "as-firefox-135" "as-safari-18"
    "curl-7.88" "curl-7.88-address"
    "java-17-alpn" "java-17-no-name"
    "node-20" "node-24"
    "openssl-3.0" "openssl-3.0-address-as-name" "openssl-3.0-no-name" "openssl-3.0-tls10"
    "openssl-3.0-tls12" "openssl-3.0-tls12-no-name" "openssl-3.0-tls13-curves-alpn"
    "openssl-3.0-two-records"
    "python-3.13" "python-3.6-no-name"
    "wget-1.21-gnutls"
};

/// A real first message.
pub(super) fn hello(name: &str) -> Vec<u8> {
    let hello = HELLOS.iter().find(|(known, _)| *known == name);
    let (_, text) = hello.expect("a file of hellos/");
    let digits: Vec<_> = text.chars().filter_map(|character| character.to_digit(16)).collect();
    let byte = |pair: &[u32]| u8::try_from(pair[0] * 16 + pair[1]).expect("two digits");
    digits.chunks(2).map(byte).collect()
}

/// All real first messages.
pub(super) fn hellos() -> impl Iterator<Item = Vec<u8>> {
    HELLOS.iter().map(|(name, _)| hello(name))
}

#[test]
fn nothing_is_told_of_nothing() {
    assert_eq!(sniff(b""), Verdict::More);
}

#[test]
fn other_protocols_are_opaque_at_their_first_bytes() {
    let others = [
        &b"\x80\x2e\x01\x03\x01\x00\x15"[..], // SSL 2.0 hello of a client that also knows TLS.
        b"\x80\x1c\x01\x00\x02",              // SSL 2.0.
        b"\x16\xfe\xff",                      // DTLS 1.0.
        b"\x15\x03\x01\x00\x02\x02\x28",      // A TLS alert.
        b"\x17\x03\x03\x00\x20",              // TLS in its midst.
        b"\x16\x03\x01\x00\x2a\x02",          // A ServerHello.
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",  // PostgreSQL asking for TLS.
        b"*1\r\n$4\r\nPING\r\n",              // Redis.
        b"\x10\x0e\x00\x04MQTT",              // MQTT.
    ];
    for bytes in others {
        assert_eq!(sniff(bytes), Verdict::Opaque, "{bytes:x?}");
    }
}

#[test]
fn a_head_without_end_is_given_up() {
    let mut bytes = b"GET / HTTP/1.1\r\nHost: a.test\r\nX: ".to_vec();
    bytes.resize(LONGEST - 1, b'x');
    assert_eq!(sniff(&bytes), Verdict::More);
    bytes.push(b'x');
    assert_eq!(sniff(&bytes), Verdict::Opaque);
    bytes.extend_from_slice(b"\r\n\r\n");
    assert_eq!(sniff(&bytes), Verdict::Opaque);
}

fn near_http() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        "(GET|POST|PRI|X) (/|http://a.test/|\\*) HTTP/(1\\.[01]|2\\.0)(\r\n(Host|X|SM): [a-z.: ]{0,9}){0,4}(\r\n\r\n)?(SM)?(\r\n\r\n)?.{0,20}"
            .prop_map(String::into_bytes),
    ]
}

/// Real hellos, cut into records anew, with something changed and something after them.
fn near_tls() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    let after = prop::collection::vec(any::<u8>(), 0..9);
    (0..HELLOS.len(), 1..2000_usize, changes, after).prop_map(|(which, size, changes, after)| {
        let mut bytes = in_records(&hello(HELLOS[which].0), size);
        for (place, byte) in changes {
            *place.get_mut(&mut bytes) = byte;
        }
        bytes.extend(after);
        bytes
    })
}

/// The message of these records in others of another size.
pub(super) fn in_records(records: &[u8], size: usize) -> Vec<u8> {
    message(records).chunks(size).flat_map(record).collect()
}

/// What these records carry.
pub(super) fn message(mut records: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    while let [_, _, _, high, low, rest @ ..] = records {
        let (fragment, rest) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        message.extend_from_slice(fragment);
        records = rest;
    }
    message
}

/// One record of a handshake message.
pub(super) fn record(fragment: &[u8]) -> Vec<u8> {
    let length = u16::try_from(fragment.len()).expect("a short fragment").to_be_bytes();
    [&[22, 3, 1], &length[..], fragment].concat()
}

proptest! {
    #[test]
    fn a_verdict_is_never_taken_back(bytes in prop_oneof![near_http(), near_tls()]) {
        let mut given = Verdict::More;
        for end in 0..=bytes.len() {
            let verdict = sniff(&bytes[..end]);
            if given == Verdict::More {
                given = verdict;
            } else {
                prop_assert!(verdict == given);
            }
        }
    }

    #[test]
    fn records_may_be_cut_anywhere(which in 0..HELLOS.len(), size in 1..2000_usize) {
        let whole = hello(HELLOS[which].0);
        prop_assert_eq!(sniff(&in_records(&whole, size)), sniff(&whole));
    }
}
