//! What is odd but allowed.

use super::accepted;

accepted! { repeated_and_contradicted_patterns,
r#"
[domains]
intercept_domains = ["a.com", "*.a.com", "A.com."]
exclude_domains = ["*.A.com"]
[[targets.targets]]
name = "a"
url = "http://a"
"#,
r#"
warning: `*.a.com` is both intercepted and excluded
 --> c.toml:2:31
  |
2 | intercept_domains = ["a.com", "*.a.com", "A.com."]
  |                               ^^^^^^^^^ never intercepted
3 | exclude_domains = ["*.A.com"]
  |                    --------- exclusion wins

warning: `a.com` is listed twice
 --> c.toml:2:42
  |
2 | intercept_domains = ["a.com", "*.a.com", "A.com."]
  |                      ------- first here  ^^^^^^^^
"#
}

accepted! { nothing_to_do,
"
[server]
workers = 1
",
r#"
warning: no domain is intercepted
--> c.toml
 = help: name some: `intercept_domains = ["example.com"]`
"#
}

accepted! { keys_without_effect_in_a_section_with_effect,
r#"
[domains]
[[backends]]
id = "a"
address = "a"
tags = ["a"]
[[virtual_hosts]]
domain = "a.com"
enabled_backends_tag = "a"
http_to_https = true
tls_enabled = true
"#,
"
warning: `http_to_https` and `tls_enabled` in [[virtual_hosts]] have no effect yet in this version
 --> c.toml:6:1
  |
6 | [[virtual_hosts]]
  | ^^^^^^^^^^^^^^^^^
"
}

accepted! { patterns_below_wider_ones,
r#"
[domains]
intercept_domains = ["*.a.com", "x.a.com", "*.y.a.com", "b.c.com", "a.com"]
exclude_domains = ["*.c.com", "z.c.com", "q.a.com"]
[[targets.targets]]
name = "a"
url = "http://a"
"#,
r#"
warning: `*.y.a.com` is intercepted already by `*.a.com`
 --> c.toml:2:44
  |
2 | intercept_domains = ["*.a.com", "x.a.com", "*.y.a.com", "b.c.com", "a.com"]
  |                      ---------             ^^^^^^^^^^^
  |                      |
  |                      this is wider

warning: `b.c.com` is never intercepted: it is below `*.c.com`
 --> c.toml:2:57
  |
2 | intercept_domains = ["*.a.com", "x.a.com", "*.y.a.com", "b.c.com", "a.com"]
  |                                                         ^^^^^^^^^
3 | exclude_domains = ["*.c.com", "z.c.com", "q.a.com"]
  |                    --------- exclusion wins

warning: `z.c.com` is excluded already by `*.c.com`
 --> c.toml:3:31
  |
3 | exclude_domains = ["*.c.com", "z.c.com", "q.a.com"]
  |                    ---------  ^^^^^^^^^
  |                    |
  |                    this is wider
"#
}

accepted! { targets_that_no_domain_leads_to,
r#"
[[targets.targets]]
name = "listed"
url = "http://a"
[[backends]]
id = "chosen"
address = "b:1"
tags = ["t"]
[[backends]]
id = "left"
address = "c:1"
tags = ["u"]
[[virtual_hosts]]
domain = "a.com"
enabled_backends_tag = "t"
"#,
r#"
warning: no domain leads to `listed`
 --> c.toml:2:8
  |
2 | name = "listed"
  |        ^^^^^^^^
  |
  = help: add a domain to `intercept_domains`, or have a virtual host choose one of its tags

warning: no domain leads to `left`
 --> c.toml:9:6
  |
9 | id = "left"
  |      ^^^^^^
  |
  = help: have a virtual host choose one of its tags: `enabled_backends_tag`
"#
}
