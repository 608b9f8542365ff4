//! Cookies that keep a client with its backend (RFC 6265).
//!
//! A value is a signature over the names of pool and backend and nothing else: it says nothing to who
//! has not the key, and cannot be made up.

use std::{fmt, sync::Arc};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use http::{HeaderMap, HeaderValue, header::COOKIE};
use sha2::Sha256;

use super::Backend;
use crate::config::StickyCookie;

/// Bytes of a signature that are sent: nobody guesses 128 bits.
const SENT: usize = 16;

/// What values are signed with where the configuration does not say.
pub(super) struct Key([u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// One that nobody knows: cookies of before a restart mean nothing after it.
    pub(super) fn random() -> Self {
        let mut key = [0; 32];
        for part in key.chunks_exact_mut(16) {
            // From the system's randomness, all but six of its bits.
            part.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        }
        Self(key)
    }
}

/// The cookie of one pool.
#[derive(Debug)]
pub(super) struct Sticky {
    name: Arc<str>,
    attributes: Arc<str>,
    /// By the index of the backend.
    values: Vec<String>,
}

impl Sticky {
    pub(super) fn new(
        cookie: &StickyCookie,
        made: &Key,
        pool: &str,
        members: &[Arc<Backend>],
    ) -> Self {
        let key = cookie.key.as_ref().map_or(&made.0[..], |key| key.0.as_bytes());
        let values = members.iter().map(|backend| value(key, pool, backend)).collect();
        Self { name: Arc::clone(&cookie.name), attributes: Arc::clone(&cookie.attributes), values }
    }

    pub(super) fn wish(&self, request: &HeaderMap) -> Option<usize> {
        let value = cookie(request, &self.name)?;
        self.values.iter().position(|known| known.as_bytes() == value)
    }

    pub(super) fn cookie(&self, index: usize) -> Option<HeaderValue> {
        let Self { name, attributes, values } = self;
        HeaderValue::try_from(format!("{name}={}{attributes}", values.get(index)?)).ok()
    }
}

fn value(key: &[u8], pool: &str, backend: &Backend) -> String {
    // A key of any length will do.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    for part in [pool, &backend.name] {
        mac.update(part.as_bytes());
        // No name of a pool has it, so that no two pairs are written alike.
        mac.update(b"\0");
    }
    let signature = mac.finalize().into_bytes();
    BASE64_URL_SAFE_NO_PAD.encode(&signature[..SENT])
}

/// The value of the first cookie of this name (RFC 6265 section 4.2.1).
#[must_use]
pub fn cookie<'r>(request: &'r HeaderMap, name: &str) -> Option<&'r [u8]> {
    let fields = request.get_all(COOKIE).iter();
    fields
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b';'))
        .filter_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes()))
        .find_map(|rest| rest.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::cookie;
    use http::{HeaderMap, HeaderValue, header::COOKIE};

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut fields = HeaderMap::new();
        fields.append(COOKIE, HeaderValue::from_static("a=1; ab=2;b=x=y"));
        fields.append(COOKIE, HeaderValue::from_bytes(b"c=3; a=4; d; \xff=5").expect("a value"));
        let found = |name| cookie(&fields, name).map(String::from_utf8_lossy);
        let found = ["a", "ab", "b", "c", "d", "e"].map(found);
        let expected = [Some("1"), Some("2"), Some("x=y"), Some("3"), None, None];
        assert_eq!(found.each_ref().map(Option::as_deref), expected);
    }
}
