//! Any bytes as requests of HTTP/1: what the strict judge lets pass is read by hyper as exactly the same
//! requests, and what hyper writes of them for the next hop is, to the judge and to httparse, one
//! request each, with the same body.

#![no_main]

use std::{cell::RefCell, convert::Infallible};

use bytes::Bytes;
use dispa_user::framing::{HeadLimits, RequestScan};
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::{
    body::Incoming,
    client::conn::http1 as client,
    server::conn::http1 as server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex, join, sink};

const LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 64, target: 1024 };

/// hyper adds fields of its own to what was within the limits.
const NEXT_HOP: HeadLimits = HeadLimits { bytes: 8192, fields: 128, target: 1024 };

/// The requests that the judge finds whole in the bytes, one after the other.
fn judged(mut bytes: &[u8], limits: HeadLimits) -> Vec<&[u8]> {
    let mut whole = Vec::new();
    while let Ok(Some(head)) = RequestScan::new(limits).advance(bytes) {
        let mut body = head.body;
        let Ok(taken) = body.advance(&bytes[head.length..]) else { break };
        if !body.is_done() {
            break;
        }
        let (request, rest) = bytes.split_at(head.length + taken);
        whole.push(request);
        bytes = rest;
    }
    whole
}

/// A request as hyper read it, its body whole.
type Seen = (Request<()>, Bytes);

async fn served(bytes: &[u8]) -> Vec<Seen> {
    let seen = RefCell::new(Vec::new());
    let service = service_fn(|request: Request<Incoming>| async {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.expect("a body that was judged").to_bytes();
        seen.borrow_mut().push((Request::from_parts(parts, ()), body));
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let stream = TokioIo::new(join(bytes, sink()));
    let _ = server::Builder::new().half_close(true).serve_connection(stream, service).await;
    seen.into_inner()
}

/// What hyper writes for the next hop.
async fn forwarded((request, body): &Seen) -> Vec<u8> {
    let (near, mut far) = duplex(64 * 1024);
    let (mut sender, connection) = client::handshake(TokioIo::new(near)).await.expect("memory");
    let mut outgoing = Request::new(Full::new(body.clone()));
    *outgoing.method_mut() = request.method().clone();
    *outgoing.uri_mut() = request.uri().path_and_query().expect("it has one").clone().into();
    for (name, value) in request.headers() {
        if ![header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE].contains(name) {
            outgoing.headers_mut().append(name, value.clone());
        }
    }
    outgoing.headers_mut().entry(header::HOST).or_insert(HeaderValue::from_static("a"));
    let exchange = async {
        let _ = sender.send_request(outgoing).await;
        drop(sender);
    };
    let read = async {
        let mut written = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let count = far.read(&mut piece).await.expect("memory");
            written.extend_from_slice(&piece[..count]);
            if count == 0 || judged(&written, NEXT_HOP).len() == 1 {
                break;
            }
        }
        let _ = far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        written
    };
    let (_, (), written) = tokio::join!(connection, exchange, read);
    written
}

fuzz_target!(|bytes: &[u8]| {
    let requests = judged(bytes, LIMITS);
    // CONNECT is refused, what asks to change the protocol or to close ends what hyper reads.
    let ends = |request: &&[u8]| {
        let text = request.to_ascii_lowercase();
        let has = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
        text.starts_with(b"connect") || has(b"connection") || has(b"upgrade") || has(b"http/1.0")
    };
    let requests: Vec<_> = requests.into_iter().take_while(|request| !ends(request)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let seen = served(&requests.concat()).await;
        assert_eq!(seen.len(), requests.len(), "the judge and hyper count alike");
        for seen in &seen {
            let written = forwarded(seen).await;
            let again = judged(&written, NEXT_HOP);
            assert_eq!(again, [&written[..]], "one request, and nothing behind it");
            let mut fields = [httparse::EMPTY_HEADER; 128];
            let mut head = httparse::Request::new(&mut fields);
            assert!(head.parse(&written).is_ok_and(|status| status.is_complete()));
        }
    });
});
