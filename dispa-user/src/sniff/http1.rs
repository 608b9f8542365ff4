//! Tells the head of an HTTP/1 request from everything else, and finds its host.

use crate::types::HostName;

/// The longest head that is waited for; a longer one is relayed unread.
const LONGEST_HEAD: usize = 64 * 1024;

/// Most header fields of a head: hyper's own limit, so that what is accepted here is served there.
const MOST_FIELDS: usize = 100;

/// Longest method name that is taken for one; the registered ones have at most 17 letters.
const LONGEST_METHOD: usize = 32;

/// What the bytes seen so far are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// More bytes are needed to tell.
    More,
    /// The complete head of an HTTP/1 request for one host.
    Http1(Http1Head),
    /// No HTTP/1, or HTTP/1 that names no host in one valid way: nothing to match a rule with.
    Opaque,
}

/// What a request's head says about where it wants to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http1Head {
    /// From the absolute form of the target, else from the Host field (RFC 9112 section 3.2.2).
    pub host: HostName,
}

/// Judges the bytes a client sent first. The verdict on a longer input never contradicts one
/// that was already given on its beginning.
#[must_use]
pub fn sniff(bytes: &[u8]) -> Verdict {
    if !may_start_request(bytes) {
        return Verdict::Opaque;
    }
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) if bytes.len() < LONGEST_HEAD => Verdict::More,
        Ok(httparse::Status::Complete(length)) if length <= LONGEST_HEAD => {
            host(&request).map_or(Verdict::Opaque, |host| Verdict::Http1(Http1Head { host }))
        }
        Ok(_) | Err(_) => Verdict::Opaque,
    }
}

/// Whether the bytes begin as `METHOD SP`. Methods of upper-case letters only: that is what
/// clients send, and it keeps most other protocols out at their first byte.
fn may_start_request(bytes: &[u8]) -> bool {
    let method = bytes.iter().take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-');
    let length = method.count();
    match bytes.get(length) {
        None => length <= LONGEST_METHOD,
        Some(b' ') => (1..=LONGEST_METHOD).contains(&length),
        Some(_) => false,
    }
}

fn host(request: &httparse::Request<'_, '_>) -> Option<HostName> {
    let mut hosts = request
        .headers
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("host"))
        .map(|field| std::str::from_utf8(field.value).ok());
    let field = hosts.next()??;
    if hosts.next().is_some() {
        return None;
    }
    let authority = absolute_authority(request.path?).unwrap_or(field);
    HostName::from_authority(authority.trim()).ok().map(|(host, _)| host)
}

/// The authority of a target in absolute form; `None` for one in origin form.
fn absolute_authority(target: &str) -> Option<&str> {
    let scheme = target.get(..7)?;
    if !scheme.eq_ignore_ascii_case("http://") {
        return None;
    }
    target[7..].split(['/', '?', '#']).next()
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_HEAD, Verdict, sniff};
    use proptest::prelude::{Strategy, any, prop_assert, prop_oneof, proptest};

    fn host(bytes: &[u8]) -> Option<String> {
        match sniff(bytes) {
            Verdict::Http1(head) => Some(head.host.to_string()),
            _ => None,
        }
    }

    #[test]
    fn a_complete_head_names_its_host() {
        assert_eq!(
            host(b"GET / HTTP/1.1\r\nAccept: */*\r\nhOST: Example.COM:80\r\n\r\nrest").as_deref(),
            Some("example.com")
        );
    }

    #[test]
    fn the_absolute_form_wins_over_the_host_field() {
        let head = b"GET http://a.test/x HTTP/1.1\r\nHost: b.test\r\n\r\n";
        assert_eq!(host(head).as_deref(), Some("a.test"));
    }

    #[test]
    fn an_unfinished_head_needs_more() {
        for bytes in [&b""[..], b"G", b"GET", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a"] {
            assert_eq!(sniff(bytes), Verdict::More, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_request_with_one_host_is_opaque() {
        let no_requests = [
            &b"\x16\x03\x01\x02\x00\x01"[..],
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"get / HTTP/1.1\r\n",
            b" GET",
            b"\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n",
        ];
        for bytes in no_requests {
            assert_eq!(sniff(bytes), Verdict::Opaque, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_head_without_end_is_given_up() {
        let mut bytes = b"GET / HTTP/1.1\r\nHost: a.test\r\nX: ".to_vec();
        bytes.resize(LONGEST_HEAD - 1, b'x');
        assert_eq!(sniff(&bytes), Verdict::More);
        bytes.push(b'x');
        assert_eq!(sniff(&bytes), Verdict::Opaque);
    }

    fn near_http() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            "(GET|POST|PRI|X) (/|http://a.test/|\\*) HTTP/1\\.[01](\r\n(Host|X): [a-z.: ]{0,9}){0,4}(\r\n\r\n)?.{0,20}"
                .prop_map(String::into_bytes),
        ]
    }

    proptest! {
        /// Whatever the split of the bytes into reads, there is one verdict.
        #[test]
        fn a_verdict_is_never_taken_back(bytes in near_http()) {
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
    }
}
