//! A response as its client saw it.

use std::io::{self, BufRead};

use super::{
    body::{BodyReader, Framing},
    head::{Head, invalid},
};

/// Far more interim responses than a test sends.
const MOST_INTERIM: usize = 100;

/// A final response, with what came before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Responses of the class 1xx, but for 101.
    pub interim: Vec<Head>,
    /// The head.
    pub head: Head,
    /// Its status.
    pub status: u16,
    /// How the body was framed.
    pub framing: Framing,
    /// The body, without framing.
    pub body: Vec<u8>,
    /// What followed the last chunk.
    pub trailers: Vec<(String, String)>,
    /// Whether the body came to the end its framing promised.
    pub whole: bool,
}

impl Answer {
    /// Reads the response to a request with this method; none where the connection ends first.
    pub fn read(from: &mut impl BufRead, method: &str) -> io::Result<Option<Self>> {
        let mut interim = Vec::new();
        let head = loop {
            let Some(head) = Head::read(from)? else { return Ok(None) };
            if !matches!(head.word(0), "HTTP/1.1" | "HTTP/1.0") {
                return Err(invalid(&head.start));
            }
            if head.status() >= 200 || head.status() == 101 {
                break head;
            }
            interim.push(head);
            if interim.len() > MOST_INTERIM {
                return Err(invalid("interim responses without end"));
            }
        };
        let framing = Framing::of_response(&head, method)?;
        let body = BodyReader::new(framing).finish(from)?;
        let (status, whole) = (head.status(), body.whole);
        let (body, trailers) = (body.bytes, body.trailers);
        Ok(Some(Self { interim, head, status, framing, body, trailers, whole }))
    }

    /// The body, as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::Answer;

    #[test]
    fn interim_responses_come_before_the_final_one() -> std::io::Result<()> {
        let bytes = b"HTTP/1.1 103 Early\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/";
        let answer = Answer::read(&mut &bytes[..], "GET")?.ok_or(std::io::ErrorKind::Other)?;
        assert_eq!((answer.status, answer.text(), answer.whole), (200, "ok".to_owned(), true));
        assert_eq!(answer.interim[0].field("link"), Some("a"));
        let answer = Answer::read(&mut &bytes[..], "HEAD")?.ok_or(std::io::ErrorKind::Other)?;
        assert_eq!((answer.body.len(), answer.whole), (0, true));
        assert_eq!(Answer::read(&mut &b""[..], "GET")?, None);
        Ok(())
    }
}
