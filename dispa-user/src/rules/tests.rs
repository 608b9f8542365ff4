//! What a pattern matches, by example and against a plain list of patterns.

use proptest::prelude::*;

use super::*;
use crate::types::HostNameError;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).expect(text)
}

fn host(text: &str) -> HostName {
    HostName::parse(text).expect(text)
}

fn rules(intercept: &[&str], exclude: &[&str]) -> Rules {
    Rules::new(
        numbered(intercept.iter().map(|text| pattern(text))),
        exclude.iter().map(|text| pattern(text)),
    )
}

/// A pool of its own for each.
fn numbered(patterns: impl IntoIterator<Item = Pattern>) -> impl Iterator<Item = Rule> {
    (0..).zip(patterns).map(|(pool, pattern)| Rule { pattern, pool })
}

fn found(rules: &Rules, name: &str) -> Option<String> {
    rules.find(&host(name)).map(|rule| rule.pattern.to_string())
}

#[test]
fn exact_names_match_themselves_only() {
    let rules = rules(&["example.com"], &[]);
    assert_eq!(found(&rules, "example.com").as_deref(), Some("example.com"));
    assert_eq!(found(&rules, "www.example.com"), None);
    assert_eq!(found(&rules, "com"), None);
    assert_eq!(found(&rules, "badexample.com"), None);
}

#[test]
fn a_wildcard_matches_any_depth_below_its_suffix() {
    let rules = rules(&["*.a.b"], &[]);
    assert_eq!(found(&rules, "x.a.b").as_deref(), Some("*.a.b"));
    assert_eq!(found(&rules, "y.x.a.b").as_deref(), Some("*.a.b"));
    assert_eq!(found(&rules, "a.b"), None);
    assert_eq!(found(&rules, "xa.b"), None);
}

#[test]
fn the_most_specific_pattern_wins() {
    let rules = rules(&["*.b", "*.a.b", "x.a.b"], &[]);
    assert_eq!(found(&rules, "x.a.b").as_deref(), Some("x.a.b"));
    assert_eq!(found(&rules, "y.a.b").as_deref(), Some("*.a.b"));
    assert_eq!(found(&rules, "y.c.b").as_deref(), Some("*.b"));
}

#[test]
fn exclusion_wins_even_over_a_more_specific_pattern() {
    let rules = rules(&["x.a.b", "*.b"], &["*.a.b"]);
    assert_eq!(found(&rules, "x.a.b"), None);
    assert_eq!(found(&rules, "a.b").as_deref(), Some("*.b"));
}

#[test]
fn exact_names_leave_out_wildcards_and_excluded_names() {
    let rules = rules(&["a.b", "c.d", "e.f", "*.g"], &["c.d", "*.f"]);
    let names: Vec<_> = rules.exact_names().map(HostName::as_str).collect();
    assert_eq!(names, ["a.b"]);
}

#[test]
fn nothing_intercepts_nothing() {
    assert!(rules(&[], &["a.b"]).is_empty());
    assert!(!rules(&["*.b"], &["*.b"]).is_empty());
}

#[test]
fn spellings_are_one_pattern() {
    assert_eq!(pattern("*.Test.COM."), pattern("*.test.com"));
    assert_eq!(pattern("BÜCHER.example"), pattern("xn--bcher-kva.example"));
    assert_eq!(pattern("*.BÜCHER.example").to_string(), "*.xn--bcher-kva.example");
    assert_eq!(pattern("[::1]"), Pattern::Exact(host("::1")));
}

#[test]
fn refused() {
    use PatternError as E;
    let cases = [
        ("*", E::Everything),
        ("*.", E::Everything),
        ("a.*.b", E::MisplacedStar),
        ("*a.b", E::MisplacedStar),
        ("*.*.b", E::MisplacedStar),
        ("**", E::MisplacedStar),
        ("*.0.2.1", E::BelowAddress),
        ("*.::1", E::BelowAddress),
        ("", E::BadName(HostNameError::Empty)),
        ("*..b", E::BadName(HostNameError::EmptyLabel)),
        ("a b", E::BadName(HostNameError::BadCharacter { character: ' ' })),
    ];
    for (text, error) in cases {
        assert_eq!(Pattern::parse(text), Err(error), "{text:?}");
    }
}

/// What `Rules::find` should say, found by trying every pattern.
fn reference<'a>(
    intercept: &'a [Pattern],
    exclude: &[Pattern],
    host: &HostName,
) -> Option<&'a Pattern> {
    let matches = |pattern: &&Pattern| match pattern {
        Pattern::Exact(name) => name == host,
        Pattern::Wildcard(suffix) => host.as_str().ends_with(&format!(".{suffix}")),
    };
    if exclude.iter().any(|pattern| matches(&pattern)) {
        return None;
    }
    intercept
        .iter()
        .filter(matches)
        .max_by_key(|pattern| (!pattern.is_wildcard(), pattern.host().as_str().len()))
}

/// Few letters and few labels, so that patterns and hosts meet often.
fn hosts() -> impl Strategy<Value = HostName> {
    "[ab](\\.[ab]){0,3}".prop_map(|text| host(&text))
}

fn patterns() -> impl Strategy<Value = Vec<Pattern>> {
    let one = (any::<bool>(), hosts()).prop_map(|(wildcard, host)| {
        if wildcard { Pattern::Wildcard(host) } else { Pattern::Exact(host) }
    });
    prop::collection::vec(one, 0..6)
}

proptest! {
    #[test]
    fn agrees_with_the_reference(i in patterns(), e in patterns(), host in hosts()) {
        let rules = Rules::new(numbered(i.clone()), e.clone());
        prop_assert_eq!(rules.find(&host).map(|it| &it.pattern), reference(&i, &e, &host));
    }

    #[test]
    fn exclusion_always_wins(i in patterns(), host in hosts()) {
        let rules = Rules::new(numbered(i), [Pattern::Exact(host.clone())]);
        prop_assert_eq!(rules.find(&host), None);
    }

    #[test]
    fn a_wildcard_never_matches_its_own_suffix(suffix in hosts()) {
        let rules = Rules::new(numbered([Pattern::Wildcard(suffix.clone())]), []);
        prop_assert_eq!(rules.find(&suffix), None);
        let below = host(&format!("x.{suffix}"));
        prop_assert!(rules.find(&below).is_some());
    }

    #[test]
    fn exact_names_are_those_that_match_themselves(i in patterns(), e in patterns()) {
        let rules = Rules::new(numbered(i), e);
        for name in rules.exact_names() {
            prop_assert_eq!(rules.find(name).map(|it| &it.pattern), Some(&Pattern::Exact(name.clone())));
        }
    }

    #[test]
    fn the_spelling_of_a_host_does_not_matter(name in hosts(), port in 1u16..) {
        let rules = Rules::new(numbered([Pattern::Exact(name.clone())]), []);
        let spelling = format!("{}.:{port}", name.as_str().to_uppercase());
        let (spelled, _) = HostName::from_authority(&spelling).expect("valid");
        prop_assert!(rules.find(&spelled).is_some());
    }

    #[test]
    fn parsing_never_panics_and_reads_what_it_shows(text in "[a*.: ü0\\[]{0,12}") {
        if let Ok(pattern) = Pattern::parse(&text) {
            prop_assert_eq!(Pattern::parse(&pattern.to_string()), Ok(pattern));
        }
    }
}
