//! Keys and sections: unknown, misplaced, missing, repeated; and what is not TOML at all.

use super::refused;

refused! { misspelt_key,
r#"
[domains]
intercept_domain = ["a.com"]
"#,
r#"
error: unknown key `intercept_domain` in [domains]
 --> c.toml:2:1
  |
2 | intercept_domain = ["a.com"]
  | ^^^^^^^^^^^^^^^^
  |
  = help: did you mean `intercept_domains`?

c.toml: 1 error
"#
}

refused! { misspelt_section,
"
[sever]
workers = 4
",
"
error: unknown key `sever` at the top level
 --> c.toml:1:2
  |
1 | [sever]
  |  ^^^^^
  |
  = help: did you mean `server`?

c.toml: 1 error
"
}

refused! { key_in_the_wrong_section,
r#"
workers = 4
level = "info"
"#,
r#"
error: unknown key `workers` at the top level
 --> c.toml:1:1
  |
1 | workers = 4
  | ^^^^^^^
  |
  = help: it belongs in [server]

error: unknown key `level` at the top level
 --> c.toml:2:1
  |
2 | level = "info"
  | ^^^^^
  |
  = help: it belongs in [logging]

c.toml: 2 errors
"#
}

refused! { key_like_no_other,
"
[server]
threads = 4
",
"
error: unknown key `threads` in [server]
 --> c.toml:2:1
  |
2 | threads = 4
  | ^^^^^^^
  |
  = help: the keys in [server] are `bind_address`, `keep_alive_timeout`, `max_connections`, `max_memory`, `request_timeout` and `workers`

c.toml: 1 error
"
}

refused! { key_with_a_dash_and_capitals,
"
[server]
Keep-Alive-Timeout = 4
",
"
error: unknown key `Keep-Alive-Timeout` in [server]
 --> c.toml:2:1
  |
2 | Keep-Alive-Timeout = 4
  | ^^^^^^^^^^^^^^^^^^
  |
  = help: did you mean `keep_alive_timeout`?

c.toml: 1 error
"
}

refused! { section_that_is_a_number,
"
server = 3
",
"
error: `server`: expected a table, found an integer
 --> c.toml:1:10
  |
1 | server = 3
  |          ^

c.toml: 1 error
"
}

refused! { section_in_double_brackets,
"
[[server]]
workers = 1
",
"
error: `server`: expected a table, found an array
 --> c.toml:1:1
  |
1 | [[server]]
  | ^^^^^^^^^^
  |
  = help: write its header once, in single brackets

c.toml: 1 error
"
}

refused! { target_in_single_brackets,
r#"
[targets.targets]
name = "a"
url = "http://10.0.0.1"
"#,
"
error: `targets.targets`: expected an array of tables, found a table
 --> c.toml:1:1
  |
1 | [targets.targets]
  | ^^^^^^^^^^^^^^^^^
  |
  = help: write its header in double brackets

c.toml: 1 error
"
}

refused! { empty_target,
"
[[targets.targets]]
",
r#"
error: `name` is missing in [[targets.targets]]
 --> c.toml:1:1
  |
1 | [[targets.targets]]
  | ^^^^^^^^^^^^^^^^^^^
  |
  = help: add `name = "backend1"`

error: `url` is missing in [[targets.targets]]
 --> c.toml:1:1
  |
1 | [[targets.targets]]
  | ^^^^^^^^^^^^^^^^^^^
  |
  = help: add `url = "http://host:port"`

c.toml: 2 errors
"#
}

refused! { repeated_keys_hide_nothing,
"
[server]
workers = 1
workers = 2
threads = 3
",
"
error: `workers` is defined twice
 --> c.toml:3:1
  |
3 | workers = 2
  | ^^^^^^^
  |
  = help: remove or merge one of the two

error: unknown key `threads` in [server]
 --> c.toml:4:1
  |
4 | threads = 3
  | ^^^^^^^
  |
  = help: the keys in [server] are `bind_address`, `keep_alive_timeout`, `max_connections`, `max_memory`, `request_timeout` and `workers`

c.toml: 2 errors
"
}

refused! { syntax_errors_hide_what_they_garble,
r#"
[server]
workers =
bind_address = "0.0.0.0:80

[logging
levle = "info"
"#,
r#"
error: not valid TOML: string values must be quoted, expected literal string
 --> c.toml:2:10
  |
2 | workers =
  |          ^

error: not valid TOML: invalid basic string, expected `"`
 --> c.toml:3:27
  |
3 | bind_address = "0.0.0.0:80
  |                           ^

error: not valid TOML: unclosed table, expected `]`
 --> c.toml:5:9
  |
5 | [logging
  |         ^

c.toml: 3 errors
"#
}

refused! { text_beyond_ascii,
r#"
[server]
"größe\u001b" = "ü"
"#,
r#"
error: unknown key `größe\u{1b}` in [server]
 --> c.toml:2:1
  |
2 | "größe\u001b" = "ü"
  | ^^^^^^^^^^^^^
  |
  = help: the keys in [server] are `bind_address`, `keep_alive_timeout`, `max_connections`, `max_memory`, `request_timeout` and `workers`

c.toml: 1 error
"#
}

refused! { not_toml,
"
hello world
",
"
error: not valid TOML: key with no value, expected `=`
 --> c.toml:1:7
  |
1 | hello world
  |       ^

c.toml: 1 error
"
}
