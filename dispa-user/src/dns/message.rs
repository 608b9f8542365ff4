//! What a DNS message says, as far as learning needs to know: the question, and the addresses an
//! answer gives for it.
//!
//! Pure: bytes in, values out. Whatever the bytes are, reading them ends soon and without a panic.
//! Knows nothing of sockets, of what is intercepted, or of who asked.

mod records;

use std::{collections::HashSet, net::IpAddr, time::Duration};

use hickory_proto::{
    op::{Header, MessageType, OpCode, Query, ResponseCode},
    rr::{DNSClass, Name, RecordType},
    serialize::binary::{BinDecodable, BinDecoder},
};

use crate::types::HostName;
use records::{Record, Says};

/// Longest message: the length before each message over TCP has 16 bits (RFC 1035 section 4.2.2).
const LONGEST_MESSAGE: usize = u16::MAX as usize;

/// Most names followed in one answer. Resolvers give up between 8 and 17 aliases.
const LONGEST_CHAIN: usize = 32;

/// Most addresses taken from one answer: far more than a name may own, far fewer than the 16,000
/// that address hints in 64 KiB can hold.
const MOST_ADDRESSES: usize = 1_000;

/// What was asked, and the id by which its answer is known.
///
/// The name has its one spelling, so that a question equals its answer's copy of it whatever the
/// case of either: resolvers and programs mix it on purpose ("0x20").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The message's id.
    pub id: u16,
    /// The name asked for.
    pub name: HostName,
    /// The type asked for (RFC 1035 section 3.2.3), as a number.
    pub record_type: u16,
    /// The class asked for (RFC 1035 section 3.2.5), as a number.
    pub class: u16,
}

/// What an answer teaches about the name that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lesson {
    /// The name asked for, not an alias on the way.
    pub name: HostName,
    /// Its addresses, in the order of the answer, each once, never none.
    pub addresses: Vec<IpAddr>,
    /// The smallest TTL of the records that led to them.
    pub ttl: Duration,
}

impl Question {
    /// The question of a query; `None` if this is no standard query with exactly one question, or
    /// if its name is no host name, so that nothing can be learned from its answer.
    #[must_use]
    pub fn of_query(message: &[u8]) -> Option<Self> {
        let head = Head::read(message)?;
        (head.header.message_type == MessageType::Query).then_some(head.question)
    }

    /// The question an answer says it answers; `None` as for [`of_query`](Self::of_query).
    #[must_use]
    pub fn of_answer(message: &[u8]) -> Option<Self> {
        let head = Head::read(message)?;
        (head.header.message_type == MessageType::Response).then_some(head.question)
    }

    /// Whether a good answer has addresses: of class IN, and of type A, AAAA, HTTPS, SVCB or ANY.
    /// The answers to other questions need not be looked at.
    #[must_use]
    pub fn wants_addresses(&self) -> bool {
        let record_type = RecordType::from(self.record_type);
        let has_addresses = matches!(
            record_type,
            RecordType::A
                | RecordType::AAAA
                | RecordType::HTTPS
                | RecordType::SVCB
                | RecordType::ANY
        );
        has_addresses && DNSClass::from(self.class) == DNSClass::IN
    }
}

/// What `answer` teaches, if it is the answer to `asked`, without an error and with addresses, and
/// if `asked` [wants addresses](Question::wants_addresses).
///
/// Counted are the A and AAAA records and the address hints of HTTPS and SVCB records of the name
/// asked for and of the names its CNAME records lead to, all from the answer section, in whatever
/// order. What a truncated answer still has counts as well: programs use it.
#[must_use]
pub fn lesson(answer: &[u8], asked: &Question) -> Option<Lesson> {
    let mut head = Head::read(answer)?;
    let fits = head.header.message_type == MessageType::Response && head.question == *asked;
    let is_good = head.header.response_code == ResponseCode::NoError;
    if !fits || !is_good || !asked.wants_addresses() {
        return None;
    }
    let records = records::read(answer, &mut head.rest, head.header.counts.answers);
    let chain = chain(&head.name, &records);
    let of_chain = || records.iter().filter(|record| chain.contains(&&record.name));
    let mut seen = HashSet::new();
    let addresses: Vec<_> = of_chain()
        .flat_map(Record::addresses)
        .copied()
        .filter(|address| seen.insert(*address))
        .take(MOST_ADDRESSES)
        .collect();
    if addresses.is_empty() {
        return None;
    }
    let ttl = of_chain().map(|record| record.ttl).min()?;
    Some(Lesson { name: head.question.name, addresses, ttl })
}

/// `start` and the names that its aliases lead to, each once, so that a loop ends.
fn chain<'a>(start: &'a Name, records: &'a [Record]) -> Vec<&'a Name> {
    let mut chain = vec![start];
    let mut followed = 0;
    while let Some(&name) = chain.get(followed) {
        followed += 1;
        for record in records.iter().filter(|record| record.name == *name) {
            if let Says::Alias(target) = &record.says
                && chain.len() < LONGEST_CHAIN
                && !chain.contains(&target)
            {
                chain.push(target);
            }
        }
    }
    chain
}

/// A message as far as the end of its question section.
struct Head<'a> {
    header: Header,
    question: Question,
    /// The question's name as it is on the wire.
    name: Name,
    /// What follows the question.
    rest: BinDecoder<'a>,
}

impl<'a> Head<'a> {
    /// Reads both queries and answers; `None` if there is not exactly one question.
    fn read(message: &'a [u8]) -> Option<Self> {
        if message.len() > LONGEST_MESSAGE {
            return None;
        }
        let mut rest = BinDecoder::new(message);
        let header = Header::read(&mut rest).ok()?;
        if header.op_code != OpCode::Query || header.counts.queries != 1 {
            return None;
        }
        // A pointer in here can only go back into the 12 bytes of the header: no need of the care
        // that `records` takes.
        let query = Query::read(&mut rest).ok()?;
        let question = Question {
            id: header.id,
            name: host_name(&query.name)?,
            record_type: query.query_type.into(),
            class: query.query_class.into(),
        };
        Some(Self { header, question, name: query.name, rest })
    }
}

/// The host name, if the labels have only characters of one. A label on the wire may have any byte,
/// a dot too, so this must not go through text.
fn host_name(name: &Name) -> Option<HostName> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut text = String::with_capacity(name.len());
    for label in name {
        if !label.iter().all(is_plain) {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.extend(label.iter().copied().map(char::from));
    }
    HostName::parse(&text).ok()
}

#[cfg(test)]
mod tests;
