//! Any bytes as an answer: it ends soon, and teaches only what is in it, to who asked for it.

#![no_main]

use std::collections::HashSet;
use std::net::IpAddr;

use dispa_user::dns::{Question, lesson};
use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use hickory_proto::rr::rdata::svcb::{SVCB, SvcParamValue};
use libfuzzer_sys::fuzz_target;

/// Where a message's header says whether it is an answer, and which bit does.
const FLAGS: usize = 2;
const IS_ANSWER: u8 = 0x80;

fuzz_target!(|answer: &[u8]| {
    let mut query = answer.to_vec();
    let Some(flags) = query.get_mut(FLAGS) else { return };
    *flags &= !IS_ANSWER;
    let Some(question) = Question::of_query(&query) else { return };
    assert_eq!(lesson(&query, &question), None, "learned from a query");

    let Some(learned) = lesson(answer, &question) else { return };
    assert_eq!(learned.name, question.name);
    assert!(!learned.addresses.is_empty());
    let addresses: HashSet<_> = learned.addresses.iter().copied().collect();
    assert_eq!(addresses.len(), learned.addresses.len(), "the same address twice");
    if let Ok(message) = Message::from_vec(answer) {
        assert!(addresses.is_subset(&all_addresses(&message)), "learned what is not there");
    }

    let others = Question { id: !question.id, ..question };
    assert_eq!(lesson(answer, &others), None, "learned from another's answer");
});

/// Every address of the answer section, whoever owns it.
fn all_addresses(message: &Message) -> HashSet<IpAddr> {
    let mut addresses = HashSet::new();
    for record in &message.answers {
        match &record.data {
            RData::A(address) => drop(addresses.insert(address.0.into())),
            RData::AAAA(address) => drop(addresses.insert(address.0.into())),
            RData::HTTPS(service) => addresses.extend(hints(&service.0)),
            RData::SVCB(service) => addresses.extend(hints(service)),
            _ => {}
        }
    }
    addresses
}

fn hints(service: &SVCB) -> impl Iterator<Item = IpAddr> {
    service.svc_params.iter().flat_map(|(_, value)| match value {
        SvcParamValue::Ipv4Hint(hint) => hint.0.iter().map(|it| it.0.into()).collect(),
        SvcParamValue::Ipv6Hint(hint) => hint.0.iter().map(|it| it.0.into()).collect(),
        _ => Vec::new(),
    })
}
