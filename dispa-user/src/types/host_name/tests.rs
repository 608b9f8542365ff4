//! The one spelling of a host name, and what is none.

use proptest::prelude::*;

use super::*;

fn name(text: &str) -> String {
    HostName::parse(text).expect(text).to_string()
}

fn authority(text: &str) -> Result<(String, Option<u16>), HostNameError> {
    HostName::from_authority(text).map(|(host, port)| (host.to_string(), port))
}

#[test]
fn one_spelling() {
    assert_eq!(name("example.com"), "example.com");
    assert_eq!(name("Example.COM"), "example.com");
    assert_eq!(name("example.com."), "example.com");
    assert_eq!(name("_dmarc.example.com"), "_dmarc.example.com");
    assert_eq!(name("BÜCHER.example"), "xn--bcher-kva.example");
    assert_eq!(name("bu\u{308}cher.example"), "xn--bcher-kva.example");
    assert_eq!(name("例え。テスト。"), "xn--r8jz45g.xn--zckzah");
}

#[test]
fn ip_literals() {
    assert_eq!(name("192.0.2.1"), "192.0.2.1");
    assert_eq!(name("[2001:DB8:0:0::1]"), "2001:db8::1");
    assert_eq!(name("::1"), "::1");
    assert_eq!(name("[::ffff:192.0.2.1]"), "192.0.2.1");
    assert_eq!(HostName::parse("::1").expect("valid").ip(), Some("::1".parse().expect("valid")));
    assert_eq!(HostName::parse("example.com").expect("valid").ip(), None);
}

#[test]
fn refused() {
    use HostNameError as E;
    let cases = [
        ("", E::Empty),
        (".", E::Empty),
        ("..", E::EmptyLabel),
        (".example.com", E::EmptyLabel),
        ("example..com", E::EmptyLabel),
        ("exa mple.com", E::BadCharacter { character: ' ' }),
        ("example.com/", E::BadCharacter { character: '/' }),
        ("user@example.com", E::BadCharacter { character: '@' }),
        ("example\n.com", E::BadCharacter { character: '\n' }),
        ("exa%6d.com", E::BadCharacter { character: '%' }),
        ("*.example.com", E::BadCharacter { character: '*' }),
        ("example.com:80", E::BadCharacter { character: ':' }),
        ("http://example.com", E::BadCharacter { character: ':' }),
        ("[example.com]", E::BadIpv6),
        ("[::1", E::BadIpv6),
        ("fe80::1%eth0", E::BadIpv6),
        ("a\u{fffd}.example", E::NotIdna),
    ];
    for (text, error) in cases {
        assert_eq!(HostName::parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn lengths() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", &label[..61]);
    assert_eq!(longest.len(), 253);
    assert_eq!(name(&longest), longest);
    assert_eq!(name(&format!("{longest}.")), longest);
    assert_eq!(
        HostName::parse(&format!("a{longest}")),
        Err(HostNameError::TooLong { length: 254 })
    );
    assert_eq!(
        HostName::parse(&format!("a{label}.example")),
        Err(HostNameError::LabelTooLong { length: 64 })
    );
    assert_eq!(
        HostName::parse(&"ü".repeat(1_000_000)),
        Err(HostNameError::TooLong { length: 2_000_000 })
    );
}

#[test]
fn authorities() {
    assert_eq!(authority("Example.COM:8080"), Ok(("example.com".into(), Some(8080))));
    assert_eq!(authority("example.com"), Ok(("example.com".into(), None)));
    assert_eq!(authority("example.com:"), Ok(("example.com".into(), None)));
    assert_eq!(authority("example.com.:080"), Ok(("example.com".into(), Some(80))));
    assert_eq!(authority("[::1]:80"), Ok(("::1".into(), Some(80))));
    assert_eq!(authority("[::1]"), Ok(("::1".into(), None)));
    assert_eq!(authority("1.2.3.4:1"), Ok(("1.2.3.4".into(), Some(1))));
}

#[test]
fn authorities_refused() {
    for port in ["0", "65536", "+80", "-1", "80 ", "http", "99999999999999999999"] {
        let text = format!("example.com:{port}");
        assert_eq!(authority(&text), Err(HostNameError::BadPort), "{text:?}");
    }
    assert_eq!(authority("::1"), Err(HostNameError::BadCharacter { character: ':' }));
    assert_eq!(authority("[::1]x"), Err(HostNameError::BadIpv6));
    assert_eq!(authority(":80"), Err(HostNameError::Empty));
}

#[test]
fn is_found_by_text() {
    let set = std::collections::HashSet::from([HostName::parse("Example.com").expect("valid")]);
    assert!(set.contains("example.com"));
}

proptest! {
    #[test]
    fn never_panics(text in any::<String>()) {
        let _ = HostName::parse(&text);
        let _ = HostName::from_authority(&text);
    }

    #[test]
    fn parsing_again_changes_nothing(text in r"[a-zA-Z0-9üß\.\-_:\[\]]{0,40}") {
        if let Ok(name) = HostName::parse(&text) {
            prop_assert_eq!(HostName::parse(name.as_str()), Ok(name));
        }
    }

    #[test]
    fn case_dot_and_port_do_not_matter(text in "[a-z]{1,9}(\\.[a-z0-9]{1,9}){0,3}", port in 1u16..) {
        let plain = HostName::parse(&text).expect("valid");
        let (loud, found) =
            HostName::from_authority(&format!("{}.:{port}", text.to_uppercase())).expect("valid");
        prop_assert_eq!(loud, plain);
        prop_assert_eq!(found, Some(port));
    }
}
