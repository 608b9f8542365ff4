//! Any first bytes, those of HTTP above all: one verdict, whatever the reads, and only valid hosts.

#![no_main]

use dispa_user::sniff::Verdict;
use dispa_user::sniff_in_reads;
use dispa_user::types::HostName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Verdict::Http1(head) = sniff_in_reads(bytes) {
        assert_eq!(HostName::parse(head.host.as_str()).as_ref(), Ok(&head.host));
    }
});
