//! Each verdict, with and without what a daemon knows, as people and machines read it.

use std::net::{IpAddr, Ipv6Addr};

use crate::{
    admin::{Explanation, Facts, Learned, Owner, Setup, Slot, Source, Subject, Verdict, explain},
    config::{Config, Overrides},
};

const DOMAINS: &str = "
[domains]
intercept_domains = ['example.com', '*.test.com', '192.0.2.9']
exclude_domains = ['internal.test.com']
";

const HTTP: &str = "
[[targets.targets]]
name = 'one'
url = 'http://127.0.0.1:3000'
[[targets.targets]]
name = 'two'
url = 'http://10.0.0.2'
weight = 3
";

const HTTPS: &str = "
[[targets.targets]]
name = 'tls'
url = 'https://10.0.0.3'
";

const CATCH_ALL: &str = "[intercept]\nscope = 'all'\n";
const RESOLVE: &str = "[intercept]\ndns = 'resolve'\n";

fn setup(parts: &[&str]) -> Setup {
    let text = parts.concat();
    Setup::of(&Config::parse(&text, "c.toml", &Overrides::default()).expect("valid"))
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// An address that `owners` own, with a slot for ports 80 and 443.
fn learned(text: &str, owners: &[(&str, u64)]) -> Learned {
    let owner = |&(name, remaining_seconds): &(&str, u64)| Owner {
        name: name.to_owned(),
        remaining_seconds,
    };
    let slot = |(port, slot)| Slot { port, address: address(slot) };
    Learned {
        address: address(text),
        owners: owners.iter().map(owner).collect(),
        slots: [(80, "127.208.0.5"), (443, "127.208.0.6")].map(slot).to_vec(),
    }
}

/// The same without slots.
fn slotless(text: &str, owners: &[(&str, u64)]) -> Learned {
    Learned { slots: Vec::new(), ..learned(text, owners) }
}

fn knows(addresses: &[Learned]) -> Facts {
    Facts { addresses: addresses.to_vec(), ipv6: true }
}

fn of(subject: &str, setup: &Setup, facts: Option<&Facts>) -> Explanation {
    let explanation = explain(&Subject::parse(subject).expect("valid"), setup, facts);
    let json = serde_json::to_string(&explanation).expect("serialises");
    assert_eq!(serde_json::from_str::<Explanation>(&json).expect("reads"), explanation);
    explanation
}

/// The verdict and the reasons of the first case.
fn first(subject: &str, setup: &Setup, facts: Option<&Facts>) -> (Verdict, String) {
    let explanation = of(subject, setup, facts);
    let case = explanation.cases.first().expect("one");
    (case.verdict, case.reasons.join("; "))
}

macro_rules! assert_first {
    ($subject:literal, $setup:expr, $facts:expr, $verdict:ident, $reasons:literal) => {
        assert_eq!(first($subject, &$setup, $facts), (Verdict::$verdict, $reasons.to_owned()));
    };
}

#[test]
fn a_learned_name_as_people_read_it() {
    let facts = knows(&[
        learned("203.0.113.10", &[("example.com", 61), ("www.test.com", 30)]),
        slotless("203.0.113.11", &[("example.com", 61)]),
    ]);
    let text = of("Example.com", &setup(&[DOMAINS, HTTP]), Some(&facts)).to_string();
    assert_eq!(
        format!("\n{text}"),
        "
subject    example.com
rule       example.com
address    203.0.113.10: example.com for 61 s, www.test.com for 30 s; slot 127.208.0.5 for port 80, slot 127.208.0.6 for port 443
           203.0.113.11: example.com for 61 s; no slot
pool       roundrobin over one http://127.0.0.1:3000, two http://10.0.0.2:80 (weight 3)
known by   the running daemon
HTTP 80    intercepted: a backend answers
           (`example.com` in intercept_domains matches it; to 1 of its 2 addresses connections go direct: no slot was free for 203.0.113.11; one of one, two answers)
TLS 443    passes to where it was going, unchanged
           (`example.com` in intercept_domains matches it; to 1 of its 2 addresses connections go direct: no slot was free for 203.0.113.11; no target has an https:// url)
"
    );
}

#[test]
fn an_excluded_name_as_people_read_it() {
    let text = of("http://internal.test.com", &setup(&[DOMAINS, HTTP]), None).to_string();
    assert_eq!(
        format!("\n{text}"),
        "
subject    http://internal.test.com
rule       none: internal.test.com is excluded
known by   the configuration file alone; no daemon was asked
HTTP 80    excluded: no backend answers, it reaches where it was going
           (`internal.test.com` in exclude_domains excludes it; if its address is an intercepted domain's too, it is relayed untouched)
"
    );
}

#[test]
fn a_request_as_machines_read_it() {
    let facts = knows(&[learned("203.0.113.10", &[("a.test.com", 61)])]);
    let cgroup = "[intercept]\ncgroup = '/sys/fs/cgroup/web'\nexclude.uids = [7]\n";
    let explanation = of("https://a.test.com/x", &setup(&[DOMAINS, HTTPS, cgroup]), Some(&facts));
    let json = serde_json::to_value(&explanation).expect("serialises");
    assert_eq!(
        json,
        serde_json::json!({
            "of": "https://a.test.com",
            "source": "daemon",
            "rule": "*.test.com",
            "exclusion": null,
            "addresses": [{
                "address": "203.0.113.10",
                "owners": [{ "name": "a.test.com", "remaining_seconds": 61 }],
                "slots": [
                    { "port": 80, "address": "127.208.0.5" },
                    { "port": 443, "address": "127.208.0.6" },
                ],
            }],
            "pool": {
                "name": "default",
                "balancing": "roundrobin",
                "backends": [{ "name": "tls", "url": "https://10.0.0.3:443", "weight": 1 }],
            },
            "cgroup": "/sys/fs/cgroup/web",
            "by_program": true,
            "cases": [{
                "protocol": "tls",
                "port": 443,
                "verdict": "tls_to_backend",
                "reasons": ["`*.test.com` in intercept_domains matches it", "tls answers"],
            }],
        })
    );
}

#[test]
fn every_verdict_has_its_label() {
    let labels = [
        (Verdict::Backends, "backends"),
        (Verdict::TlsToBackend, "tls_to_backend"),
        (Verdict::TlsPasses, "tls_passes"),
        (Verdict::HttpPasses, "http_passes"),
        (Verdict::NoBackend, "no_backend"),
        (Verdict::ByName, "by_name"),
        (Verdict::Relayed, "relayed"),
        (Verdict::Excluded, "excluded"),
        (Verdict::Direct, "direct"),
        (Verdict::Unknown, "unknown"),
    ];
    for (verdict, label) in labels {
        assert_eq!(serde_json::to_value(verdict).expect("serialises"), label);
    }
}

#[test]
fn the_file_alone_knows_rules_and_pool_but_no_addresses() {
    let setup = setup(&[DOMAINS, HTTP, HTTPS]);
    let explanation = of("example.com", &setup, None);
    assert_eq!((explanation.source, explanation.addresses.len()), (Source::File, 0));
    let verdicts: Vec<_> = explanation.cases.iter().map(|case| case.verdict).collect();
    assert_eq!(verdicts, [Verdict::Backends, Verdict::TlsToBackend]);
    assert_first!(
        "http://example.com",
        setup,
        None,
        Backends,
        "`example.com` in intercept_domains matches it; a running daemon learns its addresses; \
         one of one, two answers"
    );
    assert_first!(
        "203.0.113.10",
        setup,
        None,
        Unknown,
        "which domains it belongs to, only a running daemon knows"
    );
    assert_first!(
        "192.0.2.9",
        setup,
        None,
        ByName,
        "it is an intercepted domain itself; asked for an intercepted domain it belongs to, one \
         of one, two answers; anything else is relayed untouched"
    );
}

#[test]
fn a_pool_without_the_right_scheme_lets_pass() {
    assert_first!(
        "https://example.com",
        setup(&[DOMAINS, HTTP]),
        None,
        TlsPasses,
        "`example.com` in intercept_domains matches it; a running daemon learns its addresses; \
         no target has an https:// url"
    );
    assert_first!(
        "http://example.com",
        setup(&[DOMAINS, HTTPS]),
        None,
        HttpPasses,
        "`example.com` in intercept_domains matches it; a running daemon learns its addresses; \
         no target has an http:// url"
    );
}

#[test]
fn a_pool_of_weight_0_answers_nobody() {
    let idle = HTTPS.replace("10.0.0.3'", "10.0.0.3'\nweight = 0");
    let setup = setup(&[DOMAINS, HTTP, &idle]);
    assert_first!(
        "https://example.com",
        setup,
        None,
        NoBackend,
        "`example.com` in intercept_domains matches it; a running daemon learns its addresses; \
         every https target has weight 0: the connection is reset"
    );
}

#[test]
fn a_name_without_a_rule_goes_direct() {
    assert_first!(
        "other.org",
        setup(&[DOMAINS, HTTP]),
        Some(&knows(&[])),
        Direct,
        "no pattern in intercept_domains or virtual_hosts matches it; if its address is an intercepted domain's \
         too, it is relayed untouched"
    );
    assert_first!(
        "test.com",
        setup(&[DOMAINS, HTTP]),
        Some(&knows(&[])),
        Direct,
        "no pattern in intercept_domains or virtual_hosts matches it; if its address is an intercepted domain's \
         too, it is relayed untouched"
    );
}

#[test]
fn a_name_nobody_has_asked_for_is_caught_by_its_first_answer() {
    assert_first!(
        "new.test.com",
        setup(&[DOMAINS, HTTP]),
        Some(&knows(&[])),
        Backends,
        "`*.test.com` in intercept_domains matches it; no address is known yet: the next DNS \
         answer that a program gets teaches them; one of one, two answers"
    );
}

#[test]
fn without_the_dns_relay_only_what_is_resolved_is_caught() {
    let setup = setup(&[DOMAINS, HTTP, RESOLVE]);
    assert_first!(
        "new.test.com",
        setup,
        None,
        Direct,
        "`*.test.com` in intercept_domains matches it; intercept.dns is \"resolve\", which learns \
         no addresses for wildcards"
    );
    assert_first!(
        "example.com",
        setup,
        Some(&knows(&[])),
        Direct,
        "`example.com` in intercept_domains matches it; it is not resolved yet"
    );
}

#[test]
fn the_port_alone_may_decide() {
    assert_first!(
        "http://example.com:8080",
        setup(&[DOMAINS, HTTP]),
        None,
        Direct,
        "port 8080 is not in intercept.ports (80, 443)"
    );
    assert_first!(
        "http://example.com:53",
        setup(&[DOMAINS, HTTP]),
        None,
        Relayed,
        "port 53 is the DNS's, whose questions and answers are relayed"
    );
    assert_first!(
        "example.com",
        setup(&[DOMAINS, HTTP, "[intercept]\nenabled = false"]),
        None,
        Direct,
        "intercept.enabled is false: only the explicit proxy at 127.0.0.1:8080 is there, for \
         programs that use it"
    );
}

#[test]
fn an_address_is_explained_by_its_owners() {
    let setup = setup(&[DOMAINS, HTTP]);
    let facts = knows(&[learned("203.0.113.10", &[("a.test.com", 9), ("example.com", 61)])]);
    let explanation = of("203.0.113.10", &setup, Some(&facts));
    let verdicts: Vec<_> = explanation.cases.iter().map(|case| case.verdict).collect();
    assert_eq!(verdicts, [Verdict::ByName, Verdict::TlsPasses]);
    assert_first!(
        "203.0.113.10",
        setup,
        Some(&facts),
        ByName,
        "the address belongs to a.test.com, example.com; asked for an intercepted domain it \
         belongs to, one of one, two answers; anything else is relayed untouched"
    );
    assert_first!(
        "203.0.113.11",
        setup,
        Some(&knows(&[slotless("203.0.113.11", &[])])),
        Direct,
        "the address belongs to no intercepted domain"
    );
    assert_first!(
        "10.0.0.2",
        setup,
        Some(&knows(&[slotless("10.0.0.2", &[("example.com", 5)])])),
        Direct,
        "10.0.0.2 is a target itself"
    );
}

#[test]
fn another_host_at_an_intercepted_address_is_relayed() {
    let setup = setup(&[DOMAINS, HTTP]);
    let facts = knows(&[learned("203.0.113.10", &[("example.com", 61)])]);
    assert_first!(
        "http://203.0.113.10",
        setup,
        Some(&facts),
        Relayed,
        "no pattern in intercept_domains or virtual_hosts matches it; the address belongs to example.com"
    );
}

#[test]
fn an_address_as_a_rule_counts_for_http_alone() {
    let setup = setup(&[DOMAINS, HTTP, HTTPS]);
    let facts = knows(&[learned("192.0.2.9", &[("192.0.2.9", 61)])]);
    assert_first!(
        "http://192.0.2.9",
        setup,
        Some(&facts),
        Backends,
        "`192.0.2.9` in intercept_domains matches it; one of one, two answers"
    );
    assert_first!(
        "https://192.0.2.9",
        setup,
        Some(&facts),
        Relayed,
        "TLS to an IP address names no host that a rule could match; the address belongs to \
         192.0.2.9"
    );
    assert_first!(
        "http://192.0.2.9",
        setup,
        Some(&knows(&[slotless("192.0.2.9", &[])])),
        Direct,
        "`192.0.2.9` in intercept_domains matches it; the address is not learned; loopback, \
         link-local and multicast never are"
    );
}

#[test]
fn without_a_door_for_ipv6_its_addresses_go_direct() {
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).to_string();
    let facts = Facts { addresses: vec![slotless(&v6, &[("example.com", 61)])], ipv6: false };
    assert_first!(
        "http://example.com",
        setup(&[DOMAINS, HTTP]),
        Some(&facts),
        Direct,
        "`example.com` in intercept_domains matches it; the daemon has no door for IPv6"
    );
    assert_first!(
        "2001:db8::1",
        setup(&[DOMAINS, HTTP, CATCH_ALL]),
        Some(&facts),
        Direct,
        "the daemon has no door for IPv6"
    );
}

#[test]
fn in_scope_all_the_name_alone_decides() {
    let setup = setup(&[DOMAINS, HTTP, CATCH_ALL]);
    let nothing = knows(&[]);
    assert_first!(
        "http://a.test.com",
        setup,
        Some(&nothing),
        Backends,
        "`*.test.com` in intercept_domains matches it; intercept.scope is \"all\": every \
         connection to port 80 is redirected; one of one, two answers"
    );
    assert_first!(
        "other.org",
        setup,
        Some(&nothing),
        Relayed,
        "no pattern in intercept_domains or virtual_hosts matches it; intercept.scope is \"all\": every connection \
         to port 80 is redirected"
    );
    assert_first!(
        "internal.test.com",
        setup,
        None,
        Excluded,
        "`internal.test.com` in exclude_domains excludes it; intercept.scope is \"all\": every \
         connection to port 80 is redirected"
    );
    assert_first!("127.0.0.1", setup, None, Direct, "loopback is never intercepted");
    assert_eq!(first("203.0.113.10", &setup, None).0, Verdict::ByName);
}

const VIRTUAL_HOST: &str = "
[[backends]]
id = 'new'
address = '10.0.0.7:3000'
tags = ['b']
[[virtual_hosts]]
domain = 'beta.test.com'
enabled_backends_tag = 'b'
";

#[test]
fn a_virtual_host_has_backends_of_its_own() {
    let setup = setup(&[DOMAINS, HTTP, VIRTUAL_HOST]);
    let text = of("http://beta.test.com", &setup, None).to_string();
    assert_eq!(
        format!("\n{text}"),
        "
subject    http://beta.test.com
rule       beta.test.com
address    none known
pool       roundrobin over new http://10.0.0.7:3000 (tag b)
known by   the configuration file alone; no daemon was asked
HTTP 80    intercepted: a backend answers
           (`beta.test.com` in virtual_hosts matches it; a running daemon learns its addresses; new answers)
"
    );
    let (_, others) = first("http://a.test.com", &setup, None);
    assert!(others.ends_with("one of one, two answers"), "{others}");
}
