//! Values that are well formed and still wrong: domains, targets, contradictions.

use super::refused;

refused! { bad_patterns,
r#"
[domains]
intercept_domains = [
    "*",
    "a.*.b",
    "http://example.com",
    80,
]
"#,
r#"
error: `domains.intercept_domains`: `*` alone would stand for every domain
 --> c.toml:3:5
  |
3 |     "*",
  |     ^^^
  |
  = help: write a host name without scheme, port or path, for example "example.com" or "*.example.com"

error: `domains.intercept_domains`: `*` can only be the whole first label, as in `*.example.com`
 --> c.toml:4:5
  |
4 |     "a.*.b",
  |     ^^^^^^^
  |
  = help: write a host name without scheme, port or path, for example "example.com" or "*.example.com"

error: `domains.intercept_domains`: ':' cannot be part of a host name
 --> c.toml:5:5
  |
5 |     "http://example.com",
  |     ^^^^^^^^^^^^^^^^^^^^
  |
  = help: write the host alone: "example.com"

error: `domains.intercept_domains`: expected a string, found an integer
 --> c.toml:6:5
  |
6 |     80,
  |     ^^

c.toml: 4 errors
"#
}

refused! { wildcards_switched_off,
r#"
[domains]
intercept_domains = ["*.a.com"]
wildcard_support = false

[[targets.targets]]
name = "a"
url = "http://a.internal:80"
"#,
r#"
error: a wildcard while `wildcard_support` is false
 --> c.toml:2:22
  |
2 | intercept_domains = ["*.a.com"]
  |                      ^^^^^^^^^
  |
  = help: set `wildcard_support = true`, or list the hosts one by one

c.toml: 1 error
"#
}

refused! { domains_without_targets,
r#"
[domains]
intercept_domains = ["a.com", "b.com"]
"#,
r#"
error: domains are intercepted, but there is no target to answer
 --> c.toml:2:22
  |
2 | intercept_domains = ["a.com", "b.com"]
  |                      ^^^^^^^
  |
  = help: add one: a [[targets.targets]] section with `name = "..."` and `url = "http://host:port"`

c.toml: 1 error
"#
}

refused! { target_of_another_scheme,
r#"
[[targets.targets]]
name = "a"
url = "ftp://10.0.0.1"
"#,
r#"
error: `targets.targets.url`: `http://` or `https://` is missing
 --> c.toml:3:7
  |
3 | url = "ftp://10.0.0.1"
  |       ^^^^^^^^^^^^^^^^
  |
  = help: write it as "http://host:port" or "https://host:port"

c.toml: 1 error
"#
}

refused! { target_without_a_scheme,
r#"
[[targets.targets]]
name = "a"
url = "10.0.0.1:3000"
"#,
r#"
error: `targets.targets.url`: `http://` or `https://` is missing
 --> c.toml:3:7
  |
3 | url = "10.0.0.1:3000"
  |       ^^^^^^^^^^^^^^^
  |
  = help: write it as "http://host:port" or "https://host:port"

c.toml: 1 error
"#
}

refused! { target_with_credentials_and_target_with_a_path,
r#"
[[targets.targets]]
name = "a"
url = "http://user:secret@10.0.0.1"

[[targets.targets]]
name = "b"
url = "http://10.0.0.1/api?x=1"
"#,
r#"
error: `targets.targets.url`: a target is a whole server: its URL has no path, query or fragment
 --> c.toml:7:7
  |
7 | url = "http://10.0.0.1/api?x=1"
  |       ^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: write it as "http://host:port" or "https://host:port"

error: `targets.targets.url`: credentials in a target's URL are not supported
--> c.toml
 = help: write it as "http://host:port" or "https://host:port"

c.toml: 2 errors
"#
}

refused! { target_with_a_bad_port,
r#"
[[targets.targets]]
name = "a"
url = "http://10.0.0.1:99999"
"#,
r#"
error: `targets.targets.url`: a port is a number from 1 to 65535
 --> c.toml:3:7
  |
3 | url = "http://10.0.0.1:99999"
  |       ^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: write it as "http://host:port" or "https://host:port"

c.toml: 1 error
"#
}

refused! { targets_of_one_name,
r#"
[[targets.targets]]
name = "a"
url = "http://10.0.0.1"

[[targets.targets]]
name = "a"
url = "http://10.0.0.2"
"#,
r#"
error: two targets are named `a`
 --> c.toml:6:8
  |
2 | name = "a"
  |        --- first here
...
6 | name = "a"
  |        ^^^
  |
  = help: logs and metrics tell targets apart by their names

c.toml: 1 error
"#
}

refused! { blank_name,
r#"
[[targets.targets]]
name = "  "
url = "http://10.0.0.1"
"#,
r#"
error: `targets.targets.name`: cannot be empty
 --> c.toml:2:8
  |
2 | name = "  "
  |        ^^^^

c.toml: 1 error
"#
}

refused! { no_weight_at_all,
r#"
[[targets.targets]]
name = "a"
url = "http://10.0.0.1"
weight = 0
"#,
"
error: every target has weight 0, so that none can be picked
 --> c.toml:4:10
  |
4 | weight = 0
  |          ^
  |
  = help: give at least one of them a weight of 1 or more

c.toml: 1 error
"
}

refused! { ports_twice,
"
[intercept]
ports = [80, 443, 80]
",
"
error: `intercept.ports`: port 80 is listed twice
 --> c.toml:2:19
  |
2 | ports = [80, 443, 80]
  |          --       ^^
  |          |
  |          first here

c.toml: 1 error
"
}

refused! { no_ports,
"
[intercept]
ports = []
",
"
error: `intercept.ports`: 0 ports; there must be from 1 to 64
 --> c.toml:2:9
  |
2 | ports = []
  |         ^^
  |
  = help: to intercept nothing, set `enabled = false`

c.toml: 1 error
"
}
