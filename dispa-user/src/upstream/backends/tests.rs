//! Who is picked, who is ejected, and what outlasts a change of the list.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, header::COOKIE};

use super::{Backend, Backends, Standing, Worth};
use crate::{
    balance::Lease,
    config::{Config, Overrides, Scheme},
    upstream::{BackendPool, Wanted},
};

const SOON: Duration = Duration::from_millis(1);

fn backends(text: &str, previous: Option<&Backends>) -> Backends {
    let config = Config::parse(text, "test", &Overrides::default()).expect("valid");
    Backends::new(&config, previous)
}

/// Targets of these names, with their URL and keys.
fn targets(targets: &[(&str, &str, &str)]) -> String {
    let one = |(name, url, keys): &(&str, &str, &str)| {
        format!("[[targets.targets]]\nname = \"{name}\"\nurl = \"{url}\"\n{keys}\n")
    };
    targets.iter().map(one).collect()
}

fn alike(names: &[&str]) -> String {
    let urls: Vec<String> = names.iter().map(|name| format!("http://{name}.test")).collect();
    let all: Vec<_> =
        names.iter().zip(&urls).map(|(name, url)| (*name, url.as_str(), "")).collect();
    targets(&all)
}

fn of<'b>(backends: &'b Backends, name: &str) -> &'b Arc<Backend> {
    backends.all().iter().find(|it| &*it.name == name).expect("there is one")
}

fn first(backends: &Backends) -> &BackendPool {
    backends.pool(0).expect("there is always one")
}

/// Has it fail until it would be ejected; tells whether it was.
fn fail(backends: &Backends, name: &str) -> bool {
    for _ in 0..10 {
        backends.exchanged(of(backends, name), SOON, Worth::Failure);
    }
    backends.standing(of(backends, name)) == Standing::Ejected
}

fn probe(backends: &Backends, name: &str, success: bool) {
    let error = io::Error::other("down");
    let result = || if success { Ok(()) } else { Err(&error as &dyn std::error::Error) };
    for _ in 0..3 {
        backends.probed(of(backends, name), result());
    }
}

fn pick(pool: &BackendPool, wanted: Wanted) -> Option<String> {
    let picked = pool.pick(wanted, |it| it.scheme == Scheme::Http, |it| it.has_room(1));
    picked.map(|(backend, _)| backend.name.to_string())
}

fn picks(pool: &BackendPool, count: usize) -> Vec<String> {
    let turn = |_| pick(pool, Wanted { key: fastrand::u64(..), wish: None });
    (0..count).filter_map(turn).collect()
}

fn tally(picks: &[String]) -> HashMap<&str, usize> {
    let mut tally = HashMap::new();
    for name in picks {
        *tally.entry(name.as_str()).or_default() += 1;
    }
    tally
}

#[test]
fn at_most_half_of_a_kind_is_ejected() {
    let backends = backends(&alike(&["a", "b", "c", "d"]), None);
    let ejected = ["a", "b", "c", "d"].map(|name| fail(&backends, name));
    assert_eq!(ejected, [true, true, false, false]);
}

#[test]
fn the_only_one_that_is_fit_stays() {
    assert!(!fail(&backends(&alike(&["a"]), None), "a"));
    let others = [("b", "https://b", ""), ("c", "http://c", "weight = 0")];
    let alone = targets(&[&[("a", "http://a", "")], &others[..]].concat());
    assert!(!fail(&backends(&alone, None), "a"));
    let backends = backends(&alike(&["a", "b"]), None);
    probe(&backends, "b", false);
    assert!(!fail(&backends, "a"));
    assert_eq!(pick(first(&backends), Wanted::default()).as_deref(), Some("a"));
}

#[test]
fn the_last_one_of_any_of_its_pools_stays() {
    let text = "
[[backends]]
id = 'a'
address = 'a.test'
tags = ['many', 'few']
[[backends]]
id = 'b'
address = 'b.test'
tags = ['many']
[[virtual_hosts]]
domain = 'many.test'
enabled_backends_tag = 'many'
[[virtual_hosts]]
domain = 'few.test'
enabled_backends_tag = 'few'
";
    let backends = backends(text, None);
    assert!(!fail(&backends, "a"), "it is alone in `few`");
    assert!(fail(&backends, "b"));
}

#[test]
fn who_was_ejected_is_better_than_nobody() {
    let backends = backends(&alike(&["a", "b"]), None);
    assert!(fail(&backends, "a"));
    assert_eq!(tally(&picks(first(&backends), 10)), HashMap::from([("b", 10)]));
    probe(&backends, "b", false);
    assert_eq!(tally(&picks(first(&backends), 10)), HashMap::from([("a", 10)]));
    probe(&backends, "a", false);
    assert_eq!(picks(first(&backends), 1), [""; 0]);
}

/// So many answers, of which every so manieth is an error.
fn answers(backends: &Backends, name: &str, count: usize, error_every: usize) {
    for turn in 1..=count {
        let worth = if turn % error_every == 0 { Worth::Error } else { Worth::Good };
        backends.exchanged(of(backends, name), SOON, worth);
    }
}

#[test]
fn who_has_more_errors_than_the_others_is_ejected() {
    let backends = backends(&alike(&["a", "b", "c"]), None);
    for name in ["b", "c"] {
        answers(&backends, name, 15, 100);
    }
    answers(&backends, "a", 18, 2);
    assert_eq!(backends.standing(of(&backends, "a")), Standing::Up, "too few to tell");
    answers(&backends, "a", 4, 2);
    assert_eq!(backends.standing(of(&backends, "a")), Standing::Ejected);
}

#[test]
fn errors_that_everybody_has_are_nobodys() {
    let backends = backends(&alike(&["a", "b", "c"]), None);
    for _ in 0..10 {
        for name in ["a", "b", "c"] {
            answers(&backends, name, 10, 2);
        }
    }
    assert!(backends.all().iter().all(|it| backends.standing(it) == Standing::Up));
}

#[test]
fn no_ratio_is_asked_for_with_nought() {
    let text = alike(&["a", "b"]) + "[targets.health_check]\nmin_success = 0\nenabled = false\n";
    let backends = backends(&text, None);
    answers(&backends, "b", 30, 100);
    answers(&backends, "a", 100, 1);
    assert_eq!(backends.standing(of(&backends, "a")), Standing::Up);
}

#[test]
fn a_backup_answers_only_where_no_other_one_can() {
    let list = [("a", "http://a", ""), ("b", "http://b", ""), ("c", "http://c", "backup = true")];
    let backends = backends(&targets(&list), None);
    assert_eq!(tally(&picks(first(&backends), 100)), HashMap::from([("a", 50), ("b", 50)]));
    probe(&backends, "a", false);
    assert_eq!(tally(&picks(first(&backends), 100)), HashMap::from([("b", 100)]));
    probe(&backends, "b", false);
    assert_eq!(tally(&picks(first(&backends), 100)), HashMap::from([("c", 100)]));
    probe(&backends, "c", false);
    assert_eq!(picks(first(&backends), 1), [""; 0]);
    probe(&backends, "a", true);
    assert_eq!(tally(&picks(first(&backends), 100)), HashMap::from([("a", 100)]));
}

#[test]
fn who_is_full_is_picked_only_where_all_are() {
    let most = "max_connections = 1";
    let list = [("a", "http://a", most), ("b", "http://b", most), ("s", "https://s", most)];
    let backends = backends(&targets(&list), None);
    let busy = |name| Lease::new(&of(&backends, name).load);
    let _a = busy("a");
    assert_eq!(tally(&picks(first(&backends), 10)), HashMap::from([("b", 10)]));
    let _b = busy("b");
    assert_eq!(tally(&picks(first(&backends), 10)), HashMap::from([("a", 5), ("b", 5)]));
    let secure = || {
        let is_secure = |it: &Backend| it.scheme == Scheme::Https;
        first(&backends).pick(Wanted::default(), is_secure, |it| it.has_room(1))
    };
    assert!(secure().is_some());
    let _s = busy("s");
    assert!(secure().is_none(), "what nobody reads cannot wait");
}

#[test]
fn who_comes_back_starts_slowly() {
    let text = alike(&["a", "b"]) + "[targets.health_check]\nslow_start = 3600\nenabled = false\n";
    let backends = backends(&text, None);
    assert_eq!(tally(&picks(first(&backends), 100))["a"], 50, "it was always there");
    probe(&backends, "a", false);
    // A moment that is not the very first.
    std::thread::sleep(Duration::from_millis(2));
    probe(&backends, "a", true);
    let few = tally(&picks(first(&backends), 10_000)).get("a").copied().unwrap_or(0);
    assert!((300..800).contains(&few), "about a tenth of its half: {few}");
    probe(&backends, "b", false);
    assert_eq!(tally(&picks(first(&backends), 100)), HashMap::from([("a", 100)]));
}

fn sticky(keys: &str) -> String {
    format!("{}\n[targets.load_balancing]\nsticky_sessions = true\n{keys}", alike(&["a", "b", "c"]))
}

fn cookie_of(pool: &BackendPool, backend: &Backend) -> String {
    let set = pool.cookie(backend, None).expect("a cookie");
    set.to_str().expect("text").to_owned()
}

fn wish(pool: &BackendPool, set: &str) -> Option<usize> {
    let mut fields = HeaderMap::new();
    let pair = set.split(';').next().expect("a pair");
    fields.insert(COOKIE, HeaderValue::try_from(pair).expect("a value"));
    pool.wish(&fields)
}

#[test]
fn a_cookie_keeps_a_client_with_its_backend() {
    let backends = backends(&sticky(""), None);
    let pool = first(&backends);
    let set = cookie_of(pool, of(&backends, "b"));
    assert!(set.starts_with("dispa_backend=") && set.ends_with("; Path=/; SameSite=Lax; HttpOnly"));
    let wanted = Wanted { key: 0, wish: wish(pool, &set) };
    for _ in 0..10 {
        assert_eq!(pick(pool, wanted).as_deref(), Some("b"));
    }
    assert_eq!(pool.cookie(of(&backends, "b"), wanted.wish), None, "it has it already");
    assert!(pool.cookie(of(&backends, "c"), wanted.wish).is_some());

    probe(&backends, "b", false);
    let replaced = pick(pool, wanted).expect("another one");
    assert_ne!(replaced, "b");
    assert!(pool.cookie(of(&backends, &replaced), wanted.wish).is_some());
}

#[test]
fn a_client_leaves_a_backup_when_it_can() {
    let text = sticky("").replacen("url", "backup = true\nurl", 1);
    let backends = backends(&text, None);
    let pool = first(&backends);
    let wanted = Wanted { key: 0, wish: wish(pool, &cookie_of(pool, of(&backends, "a"))) };
    assert_ne!(pick(pool, wanted).as_deref(), Some("a"));
    for name in ["b", "c"] {
        probe(&backends, name, false);
    }
    assert_eq!(pick(pool, wanted).as_deref(), Some("a"));
}

#[test]
fn a_cookie_says_nothing_and_cannot_be_made_up() {
    let [one, other] = [(), ()].map(|()| backends(&sticky(""), None));
    let set = cookie_of(first(&one), of(&one, "a"));
    assert!(!set.contains("a.test"));
    assert_eq!(wish(first(&other), &set), None, "each start has a key of its own");
    assert_eq!(wish(first(&one), "dispa_backend=a"), None);
    assert_eq!(wish(first(&one), "dispa_backend="), None);
    let key = "[targets.load_balancing.sticky_cookie]\nkey = '0123456789abcdef'\n";
    let [one, other] = [(), ()].map(|()| backends(&sticky(key), None));
    let set = cookie_of(first(&one), of(&one, "a"));
    assert_eq!(wish(first(&other), &set), Some(0), "hosts with one key agree");
}

#[test]
fn weight_0_is_left_to_those_who_are_there() {
    let text = sticky("").replacen("url", "weight = 0\nurl", 1);
    let backends = backends(&text, None);
    let pool = first(&backends);
    assert_eq!(tally(&picks(pool, 100)).get("a"), None);
    let set = cookie_of(pool, of(&backends, "a"));
    let wanted = Wanted { key: 0, wish: wish(pool, &set) };
    assert_eq!(pick(pool, wanted).as_deref(), Some("a"));
}

#[test]
fn what_a_backend_goes_through_outlasts_a_change_of_the_list() {
    let health = "[targets.health_check]\nenabled = false\n";
    let before = backends(&(alike(&["a", "b", "c"]) + health), None);
    probe(&before, "a", false);
    assert!(fail(&before, "b"));
    let lease = Lease::new(&of(&before, "c").load);
    let list = [("c", "http://c.test", "weight = 5"), ("a", "http://a.test", "")];
    let moved = [("b", "http://elsewhere.test", ""), ("d", "http://d.test", "")];
    let text = targets(&[&list[..], &moved[..]].concat()) + health;
    let after = backends(&text, Some(&before));

    let number = |backends: &Backends, name| of(backends, name).number;
    assert_eq!(number(&after, "a"), number(&before, "a"));
    assert_eq!(number(&after, "c"), number(&before, "c"));
    assert_eq!(
        [number(&after, "b"), number(&after, "d")],
        [4, 5],
        "another server, another number"
    );
    let standing = |name| after.standing(of(&after, name));
    assert_eq!(standing("a"), Standing::Down);
    assert_eq!([standing("b"), standing("c")], [Standing::Up; 2]);
    assert_eq!(of(&after, "c").load.outstanding(), 1);
    drop(lease);
    assert_eq!(of(&after, "c").load.outstanding(), 0);
    assert_eq!(of(&after, "c").weight, 5);
}

#[test]
fn who_speaks_otherwise_is_another_one() {
    let before = backends(&targets(&[("a", "http://a.test", "")]), None);
    assert!(of(&before, "a").number == 1);
    for changed in [("a", "https://a.test:80", ""), ("a", "http://a.test", "protocol = \"http2\"")]
    {
        let after = backends(&targets(&[changed]), Some(&before));
        assert_eq!(of(&after, "a").number, 2, "no kept connection is of use to it");
    }
}

#[test]
fn turns_and_cookies_outlast_a_change_of_the_list() {
    let before = backends(&sticky(""), None);
    let set = cookie_of(first(&before), of(&before, "b"));
    assert_eq!(picks(first(&before), 4), ["a", "b", "c", "a"]);
    let after = backends(&sticky("type = 'roundrobin'\n"), Some(&before));
    assert_eq!(picks(first(&after), 3), ["b", "c", "a"]);
    assert_eq!(wish(first(&after), &set), Some(1));
}
