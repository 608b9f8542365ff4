//! DNS messages by the byte (RFC 1035 section 4), wrong ones too. Knows nothing of sockets.

use std::net::IpAddr;

/// Types of records, by the names and numbers of IANA's registry of DNS parameters.
pub mod kind {
    /// An IPv4 address.
    pub const A: u16 = 1;
    /// The servers of a zone.
    pub const NS: u16 = 2;
    /// Another name.
    pub const CNAME: u16 = 5;
    /// The beginning of a zone.
    pub const SOA: u16 = 6;
    /// The name of an address.
    pub const PTR: u16 = 12;
    /// Who takes mail.
    pub const MX: u16 = 15;
    /// Any text.
    pub const TXT: u16 = 16;
    /// An IPv6 address.
    pub const AAAA: u16 = 28;
    /// Where a service is.
    pub const SRV: u16 = 33;
    /// Extensions (RFC 6891).
    pub const OPT: u16 = 41;
    /// How a web server is reached (RFC 9460).
    pub const HTTPS: u16 = 65;
    /// All there is.
    pub const ANY: u16 = 255;
}

/// Class IN.
const INTERNET: u16 = 1;

/// The header of a message, which ends before the question.
const HEADER: usize = 12;

/// Bits of the header's second and third byte.
const IS_ANSWER: u8 = 0x80;
const TRUNCATED: u8 = 0x02;
const RECURSION_AVAILABLE: u8 = 0x80;

/// Where a record stands; the value is where the header counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What was asked for.
    Answer = 6,
    /// Whose word it is.
    Authority = 8,
    /// What may be of use as well.
    Additional = 10,
}

/// What a query asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The message's id.
    pub id: u16,
    /// As written, without the final dot; bytes that are no text are replaced.
    pub name: String,
    /// One of [`kind`].
    pub kind: u16,
    /// Where in the message the question ends.
    end: usize,
}

impl Asked {
    /// Reads the header and the first question; none where they are not whole.
    #[must_use]
    pub fn read(message: &[u8]) -> Option<Self> {
        let mut name = String::new();
        let mut at = HEADER;
        loop {
            let length = usize::from(*message.get(at)?);
            let label = message.get(at + 1..at + 1 + length).filter(|_| length < 0x40)?;
            at += 1 + length;
            if length == 0 {
                break;
            }
            name.push_str(&String::from_utf8_lossy(label));
            name.push('.');
        }
        name.pop();
        let id = u16::from_be_bytes([message[0], message[1]]);
        let kind = u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]);
        message.get(at + 3)?;
        Some(Self { id, name, kind, end: at + 4 })
    }

    /// The largest datagram that the asker takes (RFC 6891 section 6.2.5), if its OPT record comes
    /// right after the question, as it does in practice.
    #[must_use]
    pub fn datagram_limit(&self, message: &[u8]) -> usize {
        match message.get(self.end..self.end + 5) {
            Some(&[0, high, low, size_high, size_low])
                if u16::from_be_bytes([high, low]) == kind::OPT =>
            {
                usize::from(u16::from_be_bytes([size_high, size_low])).max(512)
            }
            _ => 512,
        }
    }
}

/// A message under construction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message(Vec<u8>);

impl Message {
    /// A query that wants recursion.
    #[must_use]
    pub fn query(id: u16, name: &str, kind: u16) -> Self {
        Self::query_by_labels(id, labels(name), kind)
    }

    /// A query for a name of any bytes.
    #[must_use]
    pub fn query_by_labels<L>(id: u16, labels: impl IntoIterator<Item = L>, kind: u16) -> Self
    where
        L: AsRef<[u8]>,
    {
        let mut bytes = vec![0; HEADER];
        bytes[..2].copy_from_slice(&id.to_be_bytes());
        bytes[2] = 1;
        bytes[5] = 1;
        put_name(&mut bytes, labels);
        bytes.extend([kind.to_be_bytes(), INTERNET.to_be_bytes()].concat());
        Self(bytes)
    }

    /// An answer to `query`, with its id and its question byte for byte, and no record yet.
    #[must_use]
    pub fn answer(query: &[u8], asked: &Asked) -> Self {
        let mut bytes = query[..asked.end].to_vec();
        bytes[2] |= IS_ANSWER;
        bytes[3] = RECURSION_AVAILABLE;
        bytes[4..HEADER].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        Self(bytes)
    }

    /// With another id.
    #[must_use]
    pub fn id(mut self, id: u16) -> Self {
        self.0[..2].copy_from_slice(&id.to_be_bytes());
        self
    }

    /// With these bytes for flags: opcode and such, and then response code and such.
    #[must_use]
    pub fn flags(mut self, flags: [u8; 2]) -> Self {
        self.0[2..4].copy_from_slice(&flags);
        self
    }

    /// With a response code, 3 for "no such name".
    #[must_use]
    pub fn code(mut self, code: u8) -> Self {
        self.0[3] = self.0[3] & 0xf0 | code;
        self
    }

    /// Marked as cut.
    #[must_use]
    pub fn truncated(mut self) -> Self {
        self.0[2] |= TRUNCATED;
        self
    }

    /// Whether it is marked as cut.
    #[must_use]
    pub fn is_truncated(message: &[u8]) -> bool {
        message.get(2).is_some_and(|flags| flags & TRUNCATED != 0)
    }

    /// With one more record.
    #[must_use]
    pub fn record(self, section: Section, name: &str, kind: u16, ttl: u32, data: &[u8]) -> Self {
        let mut owner = Vec::new();
        put_name(&mut owner, labels(name));
        self.raw_record(section, &owner, kind, INTERNET, ttl, data)
    }

    /// With one more record, whose owner is the name asked for, as a pointer to it.
    #[must_use]
    pub fn own_record(self, kind: u16, ttl: u32, data: &[u8]) -> Self {
        self.raw_record(Section::Answer, &[0xc0, 12], kind, INTERNET, ttl, data)
    }

    /// With an address of the name asked for.
    #[must_use]
    pub fn address(self, address: IpAddr, ttl: u32) -> Self {
        let (kind, data) = address_data(address);
        self.own_record(kind, ttl, &data)
    }

    /// With one more record, made of whatever it is.
    #[must_use]
    pub fn raw_record(
        mut self,
        section: Section,
        owner: &[u8],
        kind: u16,
        class: u16,
        ttl: u32,
        data: &[u8],
    ) -> Self {
        let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
        let Self(bytes) = &mut self;
        bytes.extend_from_slice(owner);
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&class.to_be_bytes());
        bytes.extend_from_slice(&ttl.to_be_bytes());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(data);
        let at = section as usize;
        let count = u16::from_be_bytes([bytes[at], bytes[at + 1]]) + 1;
        bytes[at..at + 2].copy_from_slice(&count.to_be_bytes());
        self
    }

    /// With an OPT record: the largest datagram taken, and whether signatures are wanted.
    #[must_use]
    pub fn edns(self, limit: u16, signatures: bool) -> Self {
        let ttl = if signatures { 0x8000 } else { 0 };
        self.raw_record(Section::Additional, &[0], kind::OPT, limit, ttl, &[])
    }

    /// The bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The type and the data of an address record.
#[must_use]
pub fn address_data(address: IpAddr) -> (u16, Vec<u8>) {
    match address {
        IpAddr::V4(v4) => (kind::A, v4.octets().to_vec()),
        IpAddr::V6(v6) => (kind::AAAA, v6.octets().to_vec()),
    }
}

/// A name as records carry it in their data.
#[must_use]
pub fn name_data(name: &str) -> Vec<u8> {
    let mut data = Vec::new();
    put_name(&mut data, labels(name));
    data
}

fn labels(name: &str) -> impl Iterator<Item = &str> {
    name.split('.').filter(|label| !label.is_empty())
}

/// Labels longer than 63 bytes, which cannot be written, are cut.
fn put_name<L: AsRef<[u8]>>(bytes: &mut Vec<u8>, labels: impl IntoIterator<Item = L>) {
    for label in labels {
        let label = label.as_ref();
        let label = &label[..label.len().min(63)];
        bytes.push(u8::try_from(label.len()).unwrap_or(63));
        bytes.extend_from_slice(label);
    }
    bytes.push(0);
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, Result};
    use hickory_proto::{
        op::Message as Read,
        rr::{Record, RecordType},
    };

    use super::{Asked, Message, Section, address_data, kind, name_data};

    #[test]
    fn another_library_reads_what_was_written() -> Result<()> {
        let query = Message::query(7, "wWw.example.com", kind::A).edns(1232, true).into_bytes();
        let asked = Asked::read(&query).context("no question")?;
        assert_eq!((asked.id, asked.name.as_str(), asked.kind), (7, "wWw.example.com", kind::A));
        assert_eq!(asked.datagram_limit(&query), 1232);
        let plain = Message::query(7, "a.test", kind::A).into_bytes();
        assert_eq!(Asked::read(&plain).context("no question")?.datagram_limit(&plain), 512);

        let (kind, data) = address_data("192.0.2.1".parse()?);
        let answer = Message::answer(&query, &asked)
            .own_record(kind::CNAME, 60, &name_data("other.test"))
            .record(Section::Answer, "other.test", kind, 30, &data)
            .record(Section::Additional, "third.test", kind, 30, &data)
            .truncated();
        let answer = answer.into_bytes();
        assert!(Message::is_truncated(&answer) && !Message::is_truncated(&query));
        let read = Read::from_vec(&answer)?;
        assert_eq!(read.metadata.id, 7);
        let types: Vec<_> = read.answers.iter().map(Record::record_type).collect();
        assert_eq!(types, [RecordType::CNAME, RecordType::A]);
        assert_eq!(read.additionals.len(), 1);
        Ok(())
    }

    #[test]
    fn what_is_no_question_is_none() {
        for message in [&[][..], &[0; 12], &[0; 16], &[0xc0; 40]] {
            assert_eq!(Asked::read(message), None, "{message:?}");
        }
    }
}
