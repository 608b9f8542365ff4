//! First bytes of TLS: one verdict, whatever the reads, and no hello that rustls reads otherwise.
//!
//! The bytes are tried as they are, as the body of a hello, and as its extensions, so that the
//! fuzzer need not guess the lengths that enclose them.

#![no_main]

use dispa_user::sniff::{ClientHello, Verdict};
use dispa_user::sniff_in_reads;
use dispa_user::types::HostName;
use libfuzzer_sys::fuzz_target;
use rustls::server::Acceptor;

/// A body up to its extensions: version, random, no session id, one cipher suite, no compression.
const BEFORE_EXTENSIONS: [u8; 41] = {
    let mut body = [0; 41];
    [body[0], body[1]] = [3, 3];
    [body[36], body[37], body[38]] = [2, 0x13, 1];
    body[39] = 1;
    body
};

/// The one extension that rustls asks of every hello: `signature_algorithms`, `ed25519`.
const SIGNATURES: [u8; 8] = [0, 13, 0, 4, 0, 2, 8, 7];

fuzz_target!(|bytes: &[u8]| {
    compare(bytes);
    let Ok(length) = u16::try_from(bytes.len() + SIGNATURES.len()) else { return };
    compare(&in_records(bytes));
    let extensions = [&length.to_be_bytes()[..], &SIGNATURES, bytes].concat();
    compare(&in_records(&[&BEFORE_EXTENSIONS, &extensions[..]].concat()));
});

/// A hello with this body, in records of a length that its last byte chooses.
fn in_records(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a short body").to_be_bytes();
    let message = [&[1], &length[1..], body].concat();
    let size = 16 + 8 * usize::from(body.last().copied().unwrap_or_default());
    message.chunks(size).flat_map(record).collect()
}

fn record(fragment: &[u8]) -> Vec<u8> {
    let length = u16::try_from(fragment.len()).expect("a short fragment").to_be_bytes();
    [&[22, 3, 1], &length[..], fragment].concat()
}

/// Whatever rustls reads must be read alike; what it refuses may be anything.
fn compare(bytes: &[u8]) {
    let verdict = sniff_in_reads(bytes);
    let Some((name, alpn)) = by_rustls(bytes) else { return };
    let Verdict::Tls(ClientHello { server_name, alpn: ours, .. }) = verdict else {
        panic!("rustls reads {name:?} {alpn:?}, we say {verdict:?}");
    };
    assert_eq!(server_name, name.and_then(|name| HostName::parse(&name).ok()));
    assert!(ours.iter().eq(&alpn), "rustls reads {alpn:?}, we {ours:?}");
}

/// The names of server and protocols.
fn by_rustls(mut bytes: &[u8]) -> Option<(Option<String>, Vec<Vec<u8>>)> {
    let mut acceptor = Acceptor::default();
    while acceptor.read_tls(&mut bytes).ok()? > 0 {
        if let Some(accepted) = acceptor.accept().ok()? {
            let hello = accepted.client_hello();
            let alpn = hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect();
            return Some((hello.server_name().map(str::to_owned), alpn));
        }
    }
    None
}
