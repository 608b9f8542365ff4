//! Tells the head of an HTTP/1 request from everything else, and finds its host.

use http::Uri;

use super::Verdict;
use crate::types::HostName;

/// Most header fields of a head: hyper's own limit, so that what is accepted here is served there.
const MOST_FIELDS: usize = 100;

/// Longest method name that is taken for one; the registered ones have at most 17 letters.
const LONGEST_METHOD: usize = 32;

/// What a request's head says about where it wants to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http1Head {
    /// From the absolute form of the target, else from the Host field (RFC 9112 section 3.2.2).
    pub host: HostName,
}

/// Judges the bytes a client sent first.
pub(super) fn sniff(bytes: &[u8]) -> Verdict {
    if !may_start_request(bytes) {
        return Verdict::Opaque;
    }
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) => Verdict::More,
        Ok(httparse::Status::Complete(_)) => {
            host(&request).map_or(Verdict::Opaque, |host| Verdict::Http1(Http1Head { host }))
        }
        Err(_) => Verdict::Opaque,
    }
}

/// What a request that is not whole yet says of where it wants to go, if it has said so: its Host
/// field is whole. There may be another one to come; it is not to be served, only refused.
#[must_use]
pub fn begun(bytes: &[u8]) -> Option<Http1Head> {
    let end = bytes.windows(2).rposition(|pair| pair == b"\r\n")?;
    let whole = [bytes.get(..end)?, b"\r\n\r\n"].concat();
    match sniff(&whole) {
        Verdict::Http1(head) => Some(head),
        _ => None,
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
    let target = Uri::try_from(request.path?).ok()?;
    let fields = request.headers.iter();
    let hosts = fields.filter(|field| field.name.eq_ignore_ascii_case("host"));
    host_of(&target, hosts.map(|field| field.value))
}

/// The host a request is for, by its target and the values of its Host fields: that of the absolute
/// form, whatever its scheme, else that of the one field (RFC 9112 section 3.2.2). The one rule for
/// a head that is only looked at and for a request that is served.
pub fn host_of<'a>(target: &Uri, mut fields: impl Iterator<Item = &'a [u8]>) -> Option<HostName> {
    let field = fields.next();
    if fields.next().is_some() {
        return None;
    }
    let authority = match (target.scheme(), target.authority()) {
        (Some(_), Some(authority)) => authority.as_str().as_bytes(),
        (None, None) => field?,
        // The authority form is CONNECT's.
        (None, Some(_)) | (Some(_), None) => return None,
    };
    let authority = std::str::from_utf8(authority.trim_ascii()).ok()?;
    HostName::from_authority(authority).ok().map(|(host, _)| host)
}

#[cfg(test)]
mod tests {
    use crate::sniff::{Verdict, sniff};

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
    fn a_head_that_is_not_whole_may_have_named_its_host() {
        let begun = |text: &str| super::begun(text.as_bytes()).map(|head| head.host.to_string());
        assert_eq!(begun("GET / HTTP/1.1\r\nHost: a.test\r\nX-a").as_deref(), Some("a.test"));
        assert_eq!(begun("GET / HTTP/1.1\r\nHost: a.te"), None);
        assert_eq!(begun("GET / HTTP/1.1\r\nX: y\r\n"), None);
        assert_eq!(begun("GET /"), None);
    }

    #[test]
    fn the_absolute_form_wins_over_the_host_field() {
        let head = b"GET http://a.test/x HTTP/1.1\r\nHost: b.test\r\n\r\n";
        assert_eq!(host(head).as_deref(), Some("a.test"));
    }

    #[test]
    fn the_absolute_form_counts_whatever_its_scheme_and_path() {
        for target in ["https://a.test/x", "HTTP://A.test", "http://a.test:80?x", "ws://a.test"] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: b.test\r\n\r\n");
            assert_eq!(host(head.as_bytes()).as_deref(), Some("a.test"), "{target}");
        }
    }

    #[test]
    fn an_internationalised_host_is_read_in_either_spelling() {
        for name in ["bücher.test", "xn--bcher-kva.test"] {
            let head = format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n");
            assert_eq!(host(head.as_bytes()).as_deref(), Some("xn--bcher-kva.test"), "{name}");
        }
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
            &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
            b"get / HTTP/1.1\r\n",
            b" GET",
            b"\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n",
            b"GET a.test HTTP/1.1\r\nHost: a.test\r\n\r\n",
            b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n",
            "GET http://b\u{fc}cher.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n".as_bytes(),
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n",
        ];
        for bytes in no_requests {
            assert_eq!(sniff(bytes), Verdict::Opaque, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
