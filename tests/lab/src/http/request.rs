//! Reading a request up to the end of its head.

use std::io::{self, BufRead};

#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    version: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
}

impl Request {
    /// The next request; none where the client has ended the connection instead.
    pub(super) fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some(first) = line(from)? else { return Ok(None) };
        let [method, path, version] = first.split(' ').collect::<Vec<_>>()[..] else {
            return Err(io::Error::other(format!("no request line: {first:?}")));
        };
        let mut request = Self {
            method: method.to_owned(),
            path: path.to_owned(),
            version: version.to_owned(),
            headers: Vec::new(),
        };
        while let Some(text) = line(from)?.filter(|text| !text.is_empty()) {
            let (name, value) = text.split_once(':').unwrap_or((&text, ""));
            request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Some(request))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Bytes of the body that follows the head.
    pub(super) fn length(&self) -> io::Result<u64> {
        let length = self.header("content-length").unwrap_or("0");
        length.parse().map_err(|_| io::Error::other(format!("no length: {length:?}")))
    }

    /// Whether the client waits to be asked for the body (RFC 9110 section 10.1.1).
    pub(super) fn expects_continue(&self) -> bool {
        self.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    }

    /// Whether the connection goes on after the answer (RFC 9112 section 9.3).
    pub(super) fn keeps_alive(&self) -> bool {
        let connection = self.header("connection").unwrap_or_default();
        self.version == "HTTP/1.1" && !connection.eq_ignore_ascii_case("close")
    }
}

/// A line without its end; none at the end of the stream.
fn line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    let length = from.read_line(&mut line)?;
    Ok((length > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
}
