//! What is taken for a request at a connection's beginning is the same request when it is served.

use std::{cell::RefCell, convert::Infallible};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use proptest::prelude::{Strategy, prop, prop_assert_eq, prop_oneof, proptest};
use tokio::io::{join, sink};

use super::host_of;
use crate::{
    sniff::{Verdict, sniff},
    types::HostName,
};

/// The hosts of the requests that hyper reads from `bytes`.
fn served(bytes: &[u8]) -> Vec<Option<HostName>> {
    let hosts = RefCell::new(Vec::new());
    let service = service_fn(|request: Request<Incoming>| {
        hosts.borrow_mut().push(host_of(&request));
        async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) }
    });
    let stream = TokioIo::new(join(bytes, sink()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    // What is no HTTP to hyper is served to nobody.
    let _ = runtime.block_on(http1::Builder::new().serve_connection(stream, service));
    hosts.into_inner()
}

fn hosts() -> impl Strategy<Value = String> {
    let real =
        "(a\\.test|bücher\\.test|例え\\.test|xn--bcher-kva\\.test|\\[::1\\])\\.?(:[0-9]{0,3})?";
    prop_oneof![3 => real, 1 => "[a-zA-Z0-9.:@\\[\\] -]{0,12}", 1 => "\\PC{0,6}"]
}

fn targets() -> impl Strategy<Value = String> {
    let scheme = "(|http://|https://|HTTPS://|ws://|//)";
    let rest = "(|/|/x|\\?x=1|#f|/<|/ü|/\\{\"\\}|\\PC{0,4})";
    let absolute = (scheme, hosts(), rest).prop_map(|(scheme, host, rest)| scheme + &host + &rest);
    prop_oneof!["(/|\\*|/x\\?y|/<|/ü|\\?x|\\PC{0,4})", absolute]
}

fn heads() -> impl Strategy<Value = String> {
    let start = ("(GET|POST|OPTIONS|CONNECT|X-Y)", targets(), "HTTP/1\\.[01]");
    let start = start.prop_map(|(method, target, version)| format!("{method} {target} {version}"));
    let field = ("(Host|hOST|Host|X)", hosts()).prop_map(|(name, value)| name + ": " + &value);
    let fields = prop::collection::vec(field, 0..3);
    (start, fields).prop_map(|(start, fields)| {
        let mut lines = vec![start];
        lines.extend(fields);
        lines.join("\r\n") + "\r\n\r\n"
    })
}

proptest! {
    #[test]
    fn what_is_sniffed_for_a_host_is_served_for_it(head in heads()) {
        if let Verdict::Http1(sniffed) = sniff(head.as_bytes()) {
            prop_assert_eq!(served(head.as_bytes()), [Some(sniffed.host)]);
        }
    }
}

#[test]
fn the_host_is_the_same_in_every_form() {
    for (head, host) in [
        ("GET / HTTP/1.1\r\nHost: Bücher.test:80\r\n\r\n", "xn--bcher-kva.test"),
        ("GET https://a.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n", "a.test"),
        ("GET http://a.test?x=1 HTTP/1.0\r\n\r\n", "a.test"),
        ("OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n", "a.test"),
    ] {
        let host = HostName::parse(host).expect("a name");
        assert_eq!(served(head.as_bytes()), [Some(host.clone())], "{head}");
        let Verdict::Http1(sniffed) = sniff(head.as_bytes()) else { panic!("{head}") };
        assert_eq!(sniffed.host, host, "{head}");
    }
}
