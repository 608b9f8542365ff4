//! The head of a message, read strictly.

use std::io::{self, BufRead};

/// A start line and its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The first line, without its end.
    pub start: String,
    /// Names in lower case, values without the space around them, in the order they came.
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// The next head; none where the stream ends instead. Lines end with CR and LF, or else it is
    /// an error of the kind `InvalidData`.
    pub fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some(start) = line(from)? else { return Ok(None) };
        Ok(Some(Self { start, fields: fields(from)? }))
    }

    /// The first value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Whether there is such a field.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.field(name).is_some()
    }

    /// All values of a field, joined as one list (RFC 9110 section 5.3); empty where it is absent.
    #[must_use]
    pub fn list(&self, name: &str) -> String {
        let values = self.fields.iter().filter(|(own, _)| own == name);
        values.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// A word of the first line: method, target and version of a request; version and status of a
    /// response. Empty where there is none.
    #[must_use]
    pub fn word(&self, number: usize) -> &str {
        self.start.split(' ').nth(number).unwrap_or_default()
    }

    /// A response's status; 0 where there is none.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.word(1).parse().unwrap_or_default()
    }
}

/// Fields up to the empty line.
pub(super) fn fields(from: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let text = line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if text.is_empty() {
            return Ok(fields);
        }
        let (name, value) = text.split_once(':').ok_or_else(|| invalid(&text))?;
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// A line without its end; none at the end of the stream.
pub(super) fn line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if from.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&line);
    match text.strip_suffix("\r\n") {
        Some(text) => Ok(Some(text.to_owned())),
        None if text.ends_with('\n') => Err(invalid(&text)),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

pub(super) fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP/1: {what:?}"))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::Head;

    #[test]
    fn a_head_is_read_to_its_empty_line() -> std::io::Result<()> {
        let mut bytes = &b"GET / HTTP/1.1\r\nVia: 1.0 a\r\nX:\r\nvia:  1.1 b \r\n\r\nrest"[..];
        let head = Head::read(&mut bytes)?.unwrap_or_default();
        assert_eq!(
            (head.word(0), head.word(1), head.list("via")),
            ("GET", "/", "1.0 a, 1.1 b".into())
        );
        assert_eq!((head.field("x"), head.has("y"), bytes), (Some(""), false, &b"rest"[..]));
        assert_eq!(Head::read(&mut &b""[..])?, None);
        Ok(())
    }

    #[test]
    fn what_is_cut_or_wrong_is_an_error() {
        for (bytes, kind) in [
            (&b"GET / HTTP/1.1\r\nA: b\r\n"[..], ErrorKind::UnexpectedEof),
            (b"GET / HT", ErrorKind::UnexpectedEof),
            (b"GET / HTTP/1.1\n\n", ErrorKind::InvalidData),
            (b"GET / HTTP/1.1\r\nbody\r\n\r\n", ErrorKind::InvalidData),
        ] {
            assert_eq!(Head::read(&mut &*bytes).map_err(|error| error.kind()), Err(kind));
        }
    }
}
