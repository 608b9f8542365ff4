//! Wire bytes, well formed and hostile, and what they teach.

use super::{LONGEST_CHAIN, Lesson, MOST_ADDRESSES, Question, host_name, lesson};
use crate::types::HostName;
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{
            A, AAAA, CNAME, HTTPS, NULL, SVCB, TXT,
            svcb::{Alpn, IpHint, SvcParamKey, SvcParamValue},
        },
    },
};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, proptest},
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

const ID: u16 = 0x1234;

fn wire(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).expect("a name")
}

fn asked(name: &str, record_type: RecordType) -> Question {
    let name = HostName::parse(name).expect("a host name");
    Question { id: ID, name, record_type: record_type.into(), class: 1 }
}

fn a(name: &str, ttl: u32, last: u8) -> Record {
    Record::from_rdata(wire(name), ttl, RData::A(A::new(192, 0, 2, last)))
}

fn aaaa(name: &str, ttl: u32, last: u16) -> Record {
    let address = AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
    Record::from_rdata(wire(name), ttl, RData::AAAA(address))
}

fn cname(name: &str, ttl: u32, target: &str) -> Record {
    Record::from_rdata(wire(name), ttl, RData::CNAME(CNAME(wire(target))))
}

fn v4(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn v6(last: u16) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into()
}

/// An answer to `name` with these records in its answer section.
fn answer(name: &str, record_type: RecordType, records: Vec<Record>) -> Message {
    let mut message = Message::new(ID, MessageType::Response, OpCode::Query);
    message.add_query(Query::query(wire(name), record_type));
    message.insert_answers(records);
    message
}

fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().expect("encodes")
}

fn learned(records: Vec<Record>) -> Option<Lesson> {
    lesson(&bytes(&answer("a.test", RecordType::A, records)), &asked("a.test", RecordType::A))
}

/// A chain of `links` aliases from `a.test` to two addresses, its TTLs falling.
fn chain_of(links: u8) -> Vec<Record> {
    let name = |n: u8| if n == 0 { "a.test".into() } else { format!("n{n}.cdn.example") };
    let ttl = |n: u8| 300 - u32::from(n);
    let mut records: Vec<_> = (0..links).map(|n| cname(&name(n), ttl(n), &name(n + 1))).collect();
    records.extend([a(&name(links), 1000, 1), a(&name(links), 1000, 2)]);
    records
}

#[test]
fn a_query_has_its_question() {
    let mut query = Message::new(ID, MessageType::Query, OpCode::Query);
    query.add_query(Query::query(wire("WwW.a.TEST"), RecordType::HTTPS));
    query.set_edns(Edns::new());
    let question = Question::of_query(&bytes(&query));
    assert_eq!(question, Some(asked("www.a.test", RecordType::HTTPS)));
    assert_eq!(Question::of_answer(&bytes(&query)), None);
}

#[test]
fn only_a_standard_query_with_one_question_has_one() {
    let mut query = Message::new(ID, MessageType::Query, OpCode::Query);
    assert_eq!(Question::of_query(&bytes(&query)), None, "no question");
    query.add_query(Query::query(wire("a.test"), RecordType::A));
    assert!(Question::of_query(&bytes(&query)).is_some());

    let mut response = query.clone();
    response.metadata.message_type = MessageType::Response;
    assert_eq!(Question::of_query(&bytes(&response)), None);
    assert!(Question::of_answer(&bytes(&response)).is_some());

    let mut update = query.clone();
    update.metadata.op_code = OpCode::Update;
    assert_eq!(Question::of_query(&bytes(&update)), None);

    query.add_query(Query::query(wire("b.test"), RecordType::A));
    assert_eq!(Question::of_query(&bytes(&query)), None, "two questions");
}

#[test]
fn a_name_on_the_wire_that_is_no_host_name_is_no_question() {
    let host = |labels: &[&[u8]]| {
        let name = Name::from_labels(labels.iter().copied()).expect("a name");
        host_name(&name).map(|host| host.to_string())
    };
    assert_eq!(host(&[b"A", b"test"]).as_deref(), Some("a.test"));
    assert_eq!(host(&[b"-a", b"_b", b"test"]).as_deref(), Some("-a._b.test"));
    assert_eq!(host(&[]), None, "the root");
    assert_eq!(host(&[b"a.b", b"test"]), None, "a dot in a label");
    assert_eq!(host(&[b"::1"]), None);
    assert_eq!(host(&[b"*", b"test"]), None);
    assert_eq!(host(&["b\u{fc}cher".as_bytes(), b"test"]), None, "not by IDNA");
    assert_eq!(host(&[b"a\0", b"test"]), None);
}

#[test]
fn the_longest_name_is_a_question() {
    let long = [&"x".repeat(63), &"y".repeat(63), &"z".repeat(63), &"w".repeat(61)]
        .map(String::as_str)
        .join(".");
    assert_eq!(long.len(), 253);
    let message = answer(&long, RecordType::A, vec![a(&long, 60, 1)]);
    let lesson = lesson(&bytes(&message), &asked(&long, RecordType::A)).expect("a lesson");
    assert_eq!(lesson.addresses, [v4(1)]);
}

#[test]
fn types_and_classes_pass_through_as_numbers() {
    for number in 0..=u16::MAX {
        let mut message = bytes(&answer("a.test", RecordType::A, vec![]));
        let end = message.len();
        message[end - 4..end - 2].copy_from_slice(&number.to_be_bytes());
        message[end - 2..].copy_from_slice(&number.to_be_bytes());
        let question = Question::of_answer(&message).expect("a question");
        assert_eq!((question.record_type, question.class), (number, number));
    }
}

#[test]
fn only_some_questions_want_addresses() {
    for wants in [RecordType::A, RecordType::AAAA, RecordType::HTTPS, RecordType::SVCB] {
        assert!(asked("a.test", wants).wants_addresses());
    }
    assert!(!asked("a.test", RecordType::MX).wants_addresses());
    assert!(!Question { class: 3, ..asked("a.test", RecordType::A) }.wants_addresses());
}

#[test]
fn a_chain_of_8_leads_to_its_addresses_with_the_smallest_ttl() {
    let lesson = learned(chain_of(8)).expect("a lesson");
    assert_eq!(lesson.name.as_str(), "a.test");
    assert_eq!(lesson.addresses, [v4(1), v4(2)]);
    assert_eq!(lesson.ttl, Duration::from_secs(300 - 7));
}

#[test]
fn twenty_addresses_are_learned_each_once() {
    let records = (0..20).chain(0..20).map(|last| a("a.test", 60, last)).collect();
    let lesson = learned(records).expect("a lesson");
    assert_eq!(lesson.addresses, (0..20).map(v4).collect::<Vec<_>>());
}

#[test]
fn a_loop_of_aliases_ends() {
    let circle = [cname("a.test", 60, "b.test"), cname("b.test", 60, "a.test")];
    assert_eq!(learned(circle.to_vec()), None);
    let with_address = [circle.to_vec(), vec![a("b.test", 60, 1)]].concat();
    assert_eq!(learned(with_address).map(|lesson| lesson.addresses), Some(vec![v4(1)]));
    assert_eq!(learned(vec![cname("a.test", 60, "a.test")]), None);
}

#[test]
fn a_chain_is_followed_only_so_far() {
    let longest = u8::try_from(LONGEST_CHAIN).expect("small") - 1;
    assert!(learned(chain_of(longest)).is_some());
    assert_eq!(learned(chain_of(longest + 1)), None);
}

#[test]
fn records_of_other_names_teach_nothing() {
    let poison = vec![a("bank.test", 60, 66), a("test", 60, 66), cname("bank.test", 5, "a.test")];
    assert_eq!(learned(poison.clone()), None);
    let lesson = learned([poison, vec![a("a.test", 60, 1)]].concat()).expect("a lesson");
    assert_eq!(lesson.addresses, [v4(1)]);
    assert_eq!(lesson.ttl, Duration::from_mins(1), "nor do their TTLs count");
}

#[test]
fn only_the_answer_section_teaches() {
    let mut message = answer("a.test", RecordType::A, vec![a("a.test", 60, 1)]);
    message.add_authority(a("a.test", 60, 66));
    message.add_additional(a("a.test", 60, 67));
    message.set_edns(Edns::new());
    let lesson = lesson(&bytes(&message), &asked("a.test", RecordType::A)).expect("a lesson");
    assert_eq!(lesson.addresses, [v4(1)]);
}

#[test]
fn address_hints_are_addresses() {
    let hints = |priority, target: &str| {
        let params = vec![
            (SvcParamKey::Alpn, SvcParamValue::Alpn(Alpn(vec!["h2".into()]))),
            (SvcParamKey::Ipv4Hint, SvcParamValue::Ipv4Hint(IpHint(vec![A::new(192, 0, 2, 1)]))),
            (
                SvcParamKey::Ipv6Hint,
                SvcParamValue::Ipv6Hint(IpHint(vec![AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2)])),
            ),
        ];
        SVCB::new(priority, Name::from_ascii(target).expect("a name"), params)
    };
    let https = Record::from_rdata(wire("b.test"), 30, RData::HTTPS(HTTPS(hints(1, "."))));
    let svcb = Record::from_rdata(wire("a.test"), 20, RData::SVCB(hints(1, "svc.example.")));
    let alias = cname("a.test", 60, "b.test");

    let message = answer("a.test", RecordType::HTTPS, vec![alias, https]);
    let from_https = lesson(&bytes(&message), &asked("a.test", RecordType::HTTPS));
    let from_https = from_https.expect("a lesson");
    assert_eq!(from_https.addresses, [v4(1), v6(2)]);
    assert_eq!(from_https.ttl, Duration::from_secs(30));

    let message = answer("a.test", RecordType::SVCB, vec![svcb]);
    let from_svcb = lesson(&bytes(&message), &asked("a.test", RecordType::SVCB));
    assert_eq!(from_svcb.map(|lesson| lesson.addresses), Some(vec![v4(1), v6(2)]));
}

#[test]
fn the_case_of_names_does_not_matter() {
    let records = vec![cname("A.tEsT", 60, "B.TEST"), a("b.test", 60, 1)];
    let message = answer("a.TesT", RecordType::A, records);
    let lesson = lesson(&bytes(&message), &asked("a.test", RecordType::A)).expect("a lesson");
    assert_eq!(lesson.name.as_str(), "a.test");
    assert_eq!(lesson.addresses, [v4(1)]);
}

#[test]
fn an_answer_to_another_question_teaches_nothing() {
    let message = bytes(&answer("a.test", RecordType::A, vec![a("a.test", 60, 1)]));
    let right = asked("a.test", RecordType::A);
    assert!(lesson(&message, &right).is_some());
    assert_eq!(lesson(&message, &Question { id: ID + 1, ..right.clone() }), None);
    assert_eq!(lesson(&message, &asked("b.test", RecordType::A)), None);
    assert_eq!(lesson(&message, &asked("a.test", RecordType::AAAA)), None);
    assert_eq!(lesson(&message, &Question { class: 3, ..right.clone() }), None);

    let mut query = message;
    query[2] &= 0x7f;
    assert_eq!(lesson(&query, &right), None, "a query is no answer");
}

#[test]
fn class_ch_teaches_nothing() {
    let mut record = a("a.test", 60, 1);
    record.dns_class = DNSClass::CH;
    assert_eq!(learned(vec![record.clone()]), None, "in the record");

    let mut message = answer("a.test", RecordType::A, vec![record]);
    message.queries[0].set_query_class(DNSClass::CH);
    let asked = Question { class: 3, ..asked("a.test", RecordType::A) };
    assert_eq!(lesson(&bytes(&message), &asked), None, "in question and record");
}

#[test]
fn an_error_teaches_nothing() {
    let asked = asked("a.test", RecordType::A);
    let errors = [ResponseCode::NXDomain, ResponseCode::ServFail, ResponseCode::Refused];
    for error in errors {
        let mut message = answer("a.test", RecordType::A, vec![a("a.test", 60, 1)]);
        message.metadata.response_code = error;
        assert_eq!(lesson(&bytes(&message), &asked), None, "{error}");
    }
}

#[test]
fn a_ttl_of_0_is_0_and_so_is_one_with_the_top_bit() {
    let ttl = |ttl| learned(vec![a("a.test", ttl, 1)]).map(|lesson| lesson.ttl);
    assert_eq!(ttl(0), Some(Duration::ZERO));
    assert_eq!(ttl(0x8000_0001), Some(Duration::ZERO));
    assert_eq!(ttl(0x7fff_ffff), Some(Duration::from_secs(0x7fff_ffff)));
}

#[test]
fn what_a_truncated_answer_still_has_counts() {
    let mut message = answer("a.test", RecordType::A, vec![a("a.test", 60, 1)]);
    message.metadata.truncation = true;
    assert!(lesson(&bytes(&message), &asked("a.test", RecordType::A)).is_some());
}

/// Cut anywhere, a message is read as far as whole records go, and nothing is made up.
#[test]
fn cut_at_every_length_a_message_teaches_no_more_than_whole() {
    let whole = bytes(&answer("a.test", RecordType::A, chain_of(8)));
    let asked = asked("a.test", RecordType::A);
    let all = lesson(&whole, &asked).expect("a lesson");
    for length in 0..whole.len() {
        if let Some(part) = lesson(&whole[..length], &asked) {
            assert_eq!(part.addresses, [v4(1)], "cut at {length}");
        }
    }
    assert_eq!(all.addresses, [v4(1), v4(2)]);
    assert!(lesson(&whole[..whole.len() - 1], &asked).is_some(), "the second address is cut off");
}

#[test]
fn a_misshapen_record_of_no_interest_spoils_nothing() {
    let garbage = RData::Unknown { code: RecordType::MX, rdata: NULL::with(vec![0xff; 7]) };
    let records = vec![Record::from_rdata(wire("a.test"), 60, garbage), a("a.test", 60, 1)];
    assert_eq!(learned(records).map(|lesson| lesson.addresses), Some(vec![v4(1)]));
}

/// The header and question `a.test A` of an answer said to have `answers` records.
fn start_of_answer(answers: u16) -> Vec<u8> {
    let mut message = bytes(&answer("a.test", RecordType::A, vec![]));
    message[6..8].copy_from_slice(&answers.to_be_bytes());
    message
}

/// Type, class, TTL, length and data of a record whose name was written before.
fn push_record(message: &mut Vec<u8>, record_type: u16, data: &[u8]) {
    message.extend(record_type.to_be_bytes());
    message.extend([0, 1, 0, 0, 0, 60]);
    message.extend(u16::try_from(data.len()).expect("fits").to_be_bytes());
    message.extend(data);
}

#[test]
fn a_pointer_to_the_question_is_the_name() {
    let mut message = start_of_answer(1);
    message.extend([0xc0, 12]);
    push_record(&mut message, 1, &[192, 0, 2, 1]);
    assert!(lesson(&message, &asked("a.test", RecordType::A)).is_some());
}

#[test]
fn an_address_of_the_wrong_length_is_none() {
    for length in [0, 3, 5, 16] {
        let mut message = start_of_answer(2);
        message.extend([0xc0, 12]);
        push_record(&mut message, 1, &vec![192; length]);
        message.extend([0xc0, 12]);
        push_record(&mut message, 1, &[192, 0, 2, 9]);
        let lesson = lesson(&message, &asked("a.test", RecordType::A));
        let addresses = lesson.map(|lesson| lesson.addresses);
        assert_eq!(addresses, Some(vec![v4(9)]), "{length} bytes");
    }
}

#[test]
fn pointers_in_a_circle_end_the_reading() {
    let at = u8::try_from(start_of_answer(1).len()).expect("short");
    let ahead = at + 4;
    for name in
        [&[0xc0, at][..], &[0xc0, ahead, 0, 0, 0xc0, at], &[1, b'a', 0xc0, at], &[0xff, 0xff]]
    {
        let mut message = start_of_answer(2);
        message.extend(name);
        push_record(&mut message, 1, &[192, 0, 2, 1]);
        message.extend([0xc0, 12]);
        push_record(&mut message, 1, &[192, 0, 2, 1]);
        assert_eq!(lesson(&message, &asked("a.test", RecordType::A)), None, "{name:?}");
    }
}

#[test]
fn a_question_that_points_at_itself_is_none() {
    for target in 0..=255 {
        let mut message = start_of_answer(0);
        message.truncate(12);
        message.extend([0xc0, target, 0, 1, 0, 1]);
        let _ = Question::of_answer(&message);
    }
    let mut message = start_of_answer(0);
    message[12..14].copy_from_slice(&[0xc0, 12]);
    assert_eq!(Question::of_answer(&message), None);
}

#[test]
fn a_count_beyond_the_records_is_no_matter() {
    let mut message = start_of_answer(u16::MAX);
    message.extend([0xc0, 12]);
    push_record(&mut message, 1, &[192, 0, 2, 1]);
    assert!(lesson(&message, &asked("a.test", RecordType::A)).is_some());
}

#[test]
fn a_message_longer_than_any_is_not_read() {
    let mut message = bytes(&answer("a.test", RecordType::A, vec![a("a.test", 60, 1)]));
    message.resize(65_536, 0);
    assert_eq!(lesson(&message, &asked("a.test", RecordType::A)), None);
    message.pop();
    assert!(lesson(&message, &asked("a.test", RecordType::A)).is_some());
}

/// A type that nobody reads (RFC 6895 section 3.1: private use).
const PRIVATE_TYPE: u16 = 65_280;

/// 64 KiB made to cost the most: a run of pointers, each to the one before, then records whose
/// names enter the run at its end.
fn pointers_to_pointers() -> Vec<u8> {
    let mut message = start_of_answer(u16::MAX);
    message.extend([0xc0, 12]);
    let start = message.len() + 10;
    let mut run = vec![0xc0, 12];
    let end = 0x3ffe - start;
    while run.len() < end {
        let before = u16::try_from(start + run.len() - 2).expect("below 16 KiB");
        run.extend((0xc000 | before).to_be_bytes());
    }
    let last = u16::try_from(start + run.len() - 2).expect("below 16 KiB");
    push_record(&mut message, PRIVATE_TYPE, &run);
    while message.len() + 16 <= 65_535 {
        message.extend((0xc000 | last).to_be_bytes());
        push_record(&mut message, 1, &[192, 0, 2, 1]);
    }
    message
}

/// The limits are a hundred times what a debug build needs here.
#[test]
fn the_costliest_messages_are_read_in_bounded_time() {
    let asked = asked("a.test", RecordType::A);
    let mut hints = start_of_answer(1);
    hints.extend([0xc0, 12]);
    let mut data = vec![0, 1, 0, 0, 4, 0xf0, 0];
    (0..0x3c00_u32).for_each(|n| data.extend((0x0b00_0000 + n).to_be_bytes()));
    push_record(&mut hints, 65, &data);
    let mut many = start_of_answer(u16::MAX);
    while many.len() + 16 <= 65_535 {
        many.extend([0xc0, 12]);
        push_record(&mut many, 5, &[0xc0, 12]);
    }

    let started = Instant::now();
    assert_eq!(lesson(&pointers_to_pointers(), &asked), None);
    assert_eq!(lesson(&many, &asked), None);
    let lesson = lesson(&hints, &asked).expect("a lesson");
    assert_eq!(lesson.addresses.len(), MOST_ADDRESSES);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

/// Records of a chain and of strangers, shuffled, with the addresses and TTL to be learned.
fn shuffled() -> impl Strategy<Value = (Vec<Record>, Vec<IpAddr>, u32)> {
    let ttls = vec(0..1000_u32, 9);
    let shape = (0..9_usize, 1..10_u8, 0..4_u16, 0..4_u8, ttls);
    shape.prop_flat_map(|(links, fours, sixes, strangers, ttls)| {
        let name = |n: usize| if n == 0 { "a.test".into() } else { format!("n{n}.example") };
        let mut records: Vec<_> =
            (0..links).map(|n| cname(&name(n), ttls[n], &name(n + 1))).collect();
        records.extend((0..fours).map(|last| a(&name(links), ttls[links], last)));
        records.extend((0..sixes).map(|last| aaaa(&name(links), ttls[links], last)));
        records.extend((0..strangers).map(|n| a(&format!("s{n}.example"), 0, 200 + n)));
        let text = RData::TXT(TXT::new(vec!["a record of no interest".into()]));
        records.push(Record::from_rdata(wire("a.test"), 0, text));
        let addresses = (0..fours).map(v4).chain((0..sixes).map(v6)).collect();
        let ttl = ttls[..=links].iter().copied().min().expect("one at least");
        (Just(records).prop_shuffle(), Just(addresses), Just(ttl))
    })
}

proptest! {
    #[test]
    fn the_order_of_records_does_not_matter((records, mut addresses, ttl) in shuffled()) {
        let mut lesson = learned(records).expect("a lesson");
        lesson.addresses.sort();
        addresses.sort();
        prop_assert_eq!(lesson.addresses, addresses);
        prop_assert_eq!(lesson.ttl, Duration::from_secs(ttl.into()));
    }

    #[test]
    fn random_bytes_do_no_harm(message in vec(any::<u8>(), 0..600)) {
        let asked = asked("a.test", RecordType::A);
        let _ = Question::of_query(&message);
        let _ = Question::of_answer(&message);
        let _ = lesson(&message, &asked);
        // Past the question, too.
        let mut answer = start_of_answer(40);
        answer.extend(message);
        let _ = lesson(&answer, &asked);
    }

    /// Damage to what makes it the answer is noticed; damage to the rest does no harm.
    #[test]
    fn a_flipped_bit_is_noticed_or_does_no_harm(
        (records, ..) in shuffled(),
        place in any::<proptest::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let mut message = bytes(&answer("a.test", RecordType::A, records));
        let place = place.index(message.len());
        let is_letter = message[place].is_ascii_lowercase();
        message[place] ^= 1 << bit;
        let lesson = lesson(&message, &asked("a.test", RecordType::A));
        let is_noticed = match place {
            0 | 1 | 4 | 5 => true, // The id; how many questions.
            2 => bit >= 3,         // Query or answer; which operation. Not AA, TC, RD.
            3 => bit < 4,          // Which error.
            6..12 => false,        // How many records.
            _ => place < start_of_answer(0).len() && !(is_letter && bit == 5),
        };
        prop_assert!(!is_noticed || lesson.is_none());
    }
}
