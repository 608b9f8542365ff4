//! Percent escapes.

use std::fmt::Write as _;

/// What the text stands for (RFC 3986 section 2.1). A `%` without two hexadecimal digits after it
/// stands for itself.
#[must_use]
pub fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'%').then(|| after.split_first_chunk::<2>()).flatten();
        let decoded = escaped.and_then(|(digits, after)| Some((hexadecimal(*digits)?, after)));
        let (byte, after) = decoded.unwrap_or((first, after));
        bytes.push(byte);
        rest = after;
    }
    bytes
}

fn hexadecimal(digits: [u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high? * 16 + low?).ok()
}

/// Escapes all but the unreserved characters (RFC 3986 section 2.3).
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::{percent_decoded, percent_encoded};

    #[test]
    fn escapes_are_undone_and_all_else_stays() {
        for (text, bytes) in [
            ("a%20b%2fc", &b"a b/c"[..]),
            ("%", b"%"),
            ("%4", b"%4"),
            ("%zz%41", b"%zzA"),
            ("%ff+", b"\xff+"),
        ] {
            assert_eq!(percent_decoded(text), bytes, "{text}");
        }
    }

    #[test]
    fn what_was_escaped_comes_back() {
        for text in ["plain-._~", "a b&c=\u{e9}%", ""] {
            assert_eq!(percent_decoded(&percent_encoded(text)), text.as_bytes(), "{text}");
        }
    }
}
