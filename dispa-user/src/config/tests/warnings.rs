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

accepted! { section_without_effect_and_nothing_to_do,
"
[monitoring]
enabled = true
",
r#"
warning: `enabled` in [monitoring] has no effect yet in this version
 --> c.toml:1:1
  |
1 | [monitoring]
  | ^^^^^^^^^^^^

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
