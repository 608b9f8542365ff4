//! Pools chosen by tag, and how they are balanced.

use super::{accepted, parse, refused};
use crate::{balance::Algorithm, config::HashKey};

#[test]
fn a_virtual_host_is_answered_by_all_that_have_its_tag() {
    let config = parse(
        "
[domains]
intercept_domains = ['example.com']
[[targets.targets]]
name = 'old'
url = 'http://10.0.0.1'
tags = ['a', 'b']
[targets.load_balancing]
type = 'random'
[[backends]]
id = 'web-v1'
address = '192.168.1.10:3000'
tags = ['a']
[[backends]]
id = 'web-v2'
address = 'https://[2001:db8::1]'
tags = ['b', 'c']
weight = 3
backup = true
max_connections = 7
[[virtual_hosts]]
domain = 'a.example.com'
enabled_backends_tag = 'a'
[[virtual_hosts]]
domain = '*.example.com'
enabled_backends_tag = 'b'
[virtual_hosts.load_balancing]
type = 'hash'
hash_key = 'header:X-User'
[[virtual_hosts]]
domain = 'also.example.com'
enabled_backends_tag = 'a'
",
    )
    .expect("valid");
    let names: Vec<&str> = config.backends.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["old", "web-v1", "web-v2"]);
    let last = &config.backends[2];
    assert_eq!(last.authority.to_string(), "[2001:db8::1]:443");
    assert_eq!((last.weight, last.backup, last.max_connections), (3, true, Some(7)));

    let answered_by = |host: &str| {
        let host = crate::types::HostName::parse(host).expect("a host");
        let pool = &config.pools[config.rules.find(&host).expect("a rule").pool];
        (&*pool.name, pool.members.clone(), pool.balancing.algorithm)
    };
    assert_eq!(answered_by("example.com"), ("default", vec![0], Algorithm::Random));
    assert_eq!(answered_by("a.example.com"), ("a", vec![0, 1], Algorithm::Random));
    assert_eq!(answered_by("also.example.com"), ("a", vec![0, 1], Algorithm::Random));
    assert_eq!(answered_by("x.example.com"), ("b", vec![0, 2], Algorithm::Hash));
    assert_eq!(config.pools.len(), 3, "who has the same tag and balancing shares a pool");
    assert_eq!(config.pools[2].balancing.key, HashKey::Header("x-user".parse().expect("a name")));
}

#[test]
fn virtual_hosts_need_no_targets() {
    let text = "[[backends]]\nid = 'a'\naddress = 'a:1'\ntags = ['t']
[[virtual_hosts]]\ndomain = 'a.com'\nenabled_backends_tag = 't'";
    assert_eq!(parse(text).expect("valid").warnings, [""; 0]);
}

#[test]
fn stickiness_by_source_takes_the_place_of_the_algorithm() {
    let balancing = |keys: &str| {
        let text = format!("[targets.load_balancing]\nsticky_sessions = true\n{keys}");
        parse(&text).expect("valid").pools.remove(0).balancing
    };
    let by_source = balancing("type = 'p2c'\nsticky_by = 'source'\nhash_key = 'path'");
    assert_eq!((by_source.algorithm, by_source.key), (Algorithm::Sticky, HashKey::Source));
    assert_eq!(by_source.sticky, None);
    let by_cookie = balancing("type = 'p2c'");
    assert_eq!(by_cookie.algorithm, Algorithm::TwoChoices);
    let cookie = by_cookie.sticky.expect("a cookie");
    assert_eq!(
        (&*cookie.name, &*cookie.attributes),
        ("dispa_backend", "; Path=/; SameSite=Lax; HttpOnly")
    );
    let all = "
[targets.load_balancing.sticky_cookie]
name = 'id'
path = '/shop'
domain = 'example.com'
max_age = 3600
secure = true
http_only = false
same_site = 'none'
key = 'sixteen bytes...'
";
    let cookie = balancing(all).sticky.expect("a cookie");
    assert_eq!(
        &*cookie.attributes,
        "; Path=/shop; Domain=example.com; Max-Age=3600; SameSite=None; Secure"
    );
    assert_eq!(format!("{:?}", cookie.key), "Some(Secret)", "it is never shown");
}

refused! { tags_and_names_that_do_not_fit,
"
[[targets.targets]]
name = 'one'
url = 'http://10.0.0.1'
[[backends]]
id = 'one'
address = '10.0.0.2/path'
tags = ['blue']
[[backends]]
id = 'two'
address = '10.0.0.3'
tags = 'green'
[[backends]]
id = 'three'
address = '10.0.0.4'
tags = ['green']
weight = 0
[[virtual_hosts]]
domain = 'a.com'
enabled_backends_tag = 'gren'
[[virtual_hosts]]
domain = 'a.com'
enabled_backends_tag = 'green'
[[virtual_hosts]]
domain = 'http://b.com'
",
r#"
error: `backends.address`: a target is a whole server: its URL has no path, query or fragment
 --> c.toml:6:11
  |
6 | address = '10.0.0.2/path'
  |           ^^^^^^^^^^^^^^^
  |
  = help: write it as "host:port"

error: `backends.tags`: expected an array, found a string
  --> c.toml:11:8
   |
11 | tags = 'green'
   |        ^^^^^^^
   |
   = help: write it in brackets: ["green"]

error: every target has weight 0, so that none can be picked
  --> c.toml:16:10
   |
16 | weight = 0
   |          ^
...
22 | enabled_backends_tag = 'green'
   |                        ------- chosen here
   |
   = help: give at least one of them a weight of 1 or more

error: no backend has the tag `gren`
  --> c.toml:19:24
   |
19 | enabled_backends_tag = 'gren'
   |                        ^^^^^^
   |
   = help: did you mean `green`?

error: two virtual hosts are for `a.com`
  --> c.toml:21:10
   |
18 | domain = 'a.com'
   |          ------- first here
...
21 | domain = 'a.com'
   |          ^^^^^^^

error: `enabled_backends_tag` is missing in [[virtual_hosts]]
  --> c.toml:23:1
   |
23 | [[virtual_hosts]]
   | ^^^^^^^^^^^^^^^^^
   |
   = help: add `enabled_backends_tag = "a"`

error: `virtual_hosts.domain`: ':' cannot be part of a host name
  --> c.toml:24:10
   |
24 | domain = 'http://b.com'
   |          ^^^^^^^^^^^^^^
   |
   = help: write the host alone: "b.com"

c.toml: 7 errors
"#
}

refused! { balancing_that_makes_no_sense,
"
[targets.load_balancing]
type = 'hash'
hash_key = 'header:a b'
[targets.load_balancing.sticky_cookie]
name = 'my cookie'
path = '/a;b'
same_site = 'none'
key = 'secret'
",
r#"
error: `targets.load_balancing.hash_key`: `a b` is no name of a field
 --> c.toml:3:12
  |
3 | hash_key = 'header:a b'
  |            ^^^^^^^^^^^^
  |
  = help: write "source", "path", "process", "header:NAME" or "cookie:NAME"

error: browsers drop a cookie of `same_site = "none"`
 --> c.toml:4:1
  |
4 | [targets.load_balancing.sticky_cookie]
  | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: add `secure = true`, or choose "lax"

error: `targets.load_balancing.sticky_cookie.name`: no name of a cookie
 --> c.toml:5:8
  |
5 | name = 'my cookie'
  |        ^^^^^^^^^^^
  |
  = help: use letters, digits, `-` and `_`

error: `targets.load_balancing.sticky_cookie.path`: no attribute of a cookie
 --> c.toml:6:8
  |
6 | path = '/a;b'
  |        ^^^^^^
  |
  = help: write it without spaces, `;` and `,`

error: `targets.load_balancing.sticky_cookie.key`: a key of 6 bytes can be guessed
--> c.toml
 = help: make it 16 bytes or longer

c.toml: 5 errors
"#
}

accepted! { virtual_hosts_beside_domains,
"
[domains]
intercept_domains = ['a.com']
exclude_domains = ['b.com']
[[targets.targets]]
name = 'one'
url = 'http://10.0.0.1'
tags = ['t']
[[virtual_hosts]]
domain = 'a.com'
enabled_backends_tag = 't'
http_to_https = true
[[virtual_hosts]]
domain = 'b.com'
enabled_backends_tag = 't'
",
"
warning: `http_to_https` in [[virtual_hosts]] has no effect yet in this version
 --> c.toml:8:1
  |
8 | [[virtual_hosts]]
  | ^^^^^^^^^^^^^^^^^

warning: `a.com` is both a virtual host and in intercept_domains
 --> c.toml:9:10
  |
2 | intercept_domains = ['a.com']
  |                      ------- the virtual host says who answers
...
9 | domain = 'a.com'
  |          ^^^^^^^

warning: `b.com` is both a virtual host and excluded
  --> c.toml:13:10
   |
 3 | exclude_domains = ['b.com']
   |                    ------- exclusion wins
...
13 | domain = 'b.com'
   |          ^^^^^^^
"
}

refused! { wildcards_and_tags_that_are_not_to_be,
"
[domains]
wildcard_support = false
[[backends]]
id = 'a'
address = 'a.test'
tags = ['default', 'b']
[[virtual_hosts]]
domain = '*.a.com'
enabled_backends_tag = 'b'
",
r#"
error: `backends.tags`: the pool of [[targets.targets]] is called that
 --> c.toml:6:9
  |
6 | tags = ['default', 'b']
  |         ^^^^^^^^^
  |
  = help: choose another tag

error: a wildcard while `wildcard_support` is false
 --> c.toml:8:10
  |
8 | domain = '*.a.com'
  |          ^^^^^^^^^
  |
  = help: set `wildcard_support = true`, or list the hosts one by one

error: no backend has the tag `b`
 --> c.toml:9:24
  |
9 | enabled_backends_tag = 'b'
  |                        ^^^
  |
  = help: give one of [[backends]] `tags = ["b"]`

c.toml: 3 errors
"#
}

accepted! { keys_that_need_others,
"
[[targets.targets]]
name = 'a'
url = 'http://a'
[domains]
intercept_domains = ['a.com']
[targets.load_balancing]
hash_key = 'path'
sticky_by = 'source'
[targets.load_balancing.sticky_cookie]
name = 'id'
",
r#"
warning: `hash_key` has no effect without `type = "hash"`
 --> c.toml:7:12
  |
7 | hash_key = 'path'
  |            ^^^^^^

warning: `sticky_by` has no effect without `sticky_sessions = true`
 --> c.toml:8:13
  |
8 | sticky_by = 'source'
  |             ^^^^^^^^

warning: `sticky_cookie` has no effect without sticky sessions by cookie
 --> c.toml:9:1
  |
9 | [targets.load_balancing.sticky_cookie]
  | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
"#
}
