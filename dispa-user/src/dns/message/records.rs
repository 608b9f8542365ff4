//! The answer section, reduced to the records that say where a name leads.
//!
//! hickory reads names and data, one record at a time, for three reasons: a record of another type
//! that it cannot read must not spoil the rest, nothing is allocated for what is not needed, and
//! the work stays bounded. (It follows pointers only backwards, so it always ends, but 64 KiB of
//! pointers to pointers held its `Message::from_vec` up for 53 ms.)

use std::{net::IpAddr, time::Duration};

use hickory_proto::{
    rr::{
        DNSClass, Name, RData, RecordType,
        rdata::{SVCB, svcb::SvcParamValue},
    },
    serialize::binary::{BinDecodable, BinDecoder, Restrict},
};

/// Most records read, of whatever type: some ten times what a name may own, with signatures.
const MOST_RECORDS: u16 = 512;

/// Most labels and pointers in one name. A name has at most 127 labels in its 255 bytes (RFC 1035
/// section 2.3.4), and a pointer is of use only after a label.
const MOST_STEPS: usize = 255;

/// A record.
pub(super) struct Record {
    pub(super) name: Name,
    pub(super) ttl: Duration,
    pub(super) says: Says,
}

/// What a record says of its name.
pub(super) enum Says {
    /// That it stands for another name (CNAME).
    Alias(Name),
    /// That it is there (A, AAAA, the hints of HTTPS and SVCB).
    At(Vec<IpAddr>),
    /// Nothing that matters here.
    Nothing,
}

impl Record {
    /// The addresses in it.
    pub(super) fn addresses(&self) -> &[IpAddr] {
        match &self.says {
            Says::At(addresses) => addresses,
            Says::Alias(_) | Says::Nothing => &[],
        }
    }
}

/// Reads `count` records of `message`, from where `rest` is. Ends early where a record is cut off
/// or misshapen; those before it count.
pub(super) fn read<'a>(message: &'a [u8], rest: &mut BinDecoder<'a>, count: u16) -> Vec<Record> {
    let records = (0..count.min(MOST_RECORDS)).map_while(|_| read_one(message, rest));
    records.filter(|record| !matches!(record.says, Says::Nothing)).collect()
}

fn read_one<'a>(message: &'a [u8], rest: &mut BinDecoder<'a>) -> Option<Record> {
    if !is_short(message, rest.index()) {
        return None;
    }
    let name = Name::read(rest).ok()?;
    let record_type = RecordType::read(rest).ok()?;
    let class = DNSClass::read(rest).ok()?;
    let ttl = lifetime(rest.read_u32().ok()?.unverified());
    let length = rest.read_u16().ok()?.unverified();
    let start = rest.index();
    rest.read_slice(length.into()).ok()?;
    if class != DNSClass::IN {
        return Some(Record { name, ttl, says: Says::Nothing });
    }
    // No field may reach beyond its record, hence the cut.
    let until_end = message.get(..rest.index())?;
    let says = read_data(until_end, start, record_type).unwrap_or(Says::Nothing);
    Some(Record { name, ttl, says })
}

/// The data from `start` to the end of `message`, if it is of a type that matters and well formed.
fn read_data(message: &[u8], start: usize, record_type: RecordType) -> Option<Says> {
    let name_at = match record_type {
        RecordType::A | RecordType::AAAA => None,
        RecordType::CNAME => Some(start),
        // After the priority (RFC 9460 section 2.2).
        RecordType::HTTPS | RecordType::SVCB => Some(start.checked_add(2)?),
        _ => return None,
    };
    if name_at.is_some_and(|at| !is_short(message, at)) {
        return None;
    }
    let length = u16::try_from(message.len().checked_sub(start)?).ok()?;
    let mut decoder = BinDecoder::new(message).clone(u16::try_from(start).ok()?);
    match RData::read(&mut decoder, record_type, Restrict::new(length)).ok()? {
        RData::A(address) => Some(Says::At(vec![address.0.into()])),
        RData::AAAA(address) => Some(Says::At(vec![address.0.into()])),
        RData::CNAME(target) => Some(Says::Alias(target.0)),
        RData::HTTPS(service) => Some(Says::At(hints(&service.0))),
        RData::SVCB(service) => Some(Says::At(hints(&service))),
        _ => None,
    }
}

fn hints(service: &SVCB) -> Vec<IpAddr> {
    let mut hints = Vec::new();
    for (_, value) in &service.svc_params {
        match value {
            SvcParamValue::Ipv4Hint(list) => hints.extend(list.0.iter().map(|a| IpAddr::V4(a.0))),
            SvcParamValue::Ipv6Hint(list) => hints.extend(list.0.iter().map(|a| IpAddr::V6(a.0))),
            _ => {}
        }
    }
    hints
}

/// RFC 2181 section 8: a TTL with the top bit set is 0.
fn lifetime(ttl: u32) -> Duration {
    Duration::from_secs(i32::try_from(ttl).map_or(0, |_| u64::from(ttl)))
}

/// Whether the name at `at` comes to its end within the steps that a name can need.
fn is_short(message: &[u8], mut at: usize) -> bool {
    for _ in 0..MOST_STEPS {
        match message.get(at..) {
            Some([0, ..]) => return true,
            Some([length @ 1..=0x3f, ..]) => at += 1 + usize::from(*length),
            Some([high @ 0xc0..=0xff, low, ..]) => {
                at = usize::from(u16::from_be_bytes([high & 0x3f, *low]));
            }
            _ => return false,
        }
    }
    false
}
