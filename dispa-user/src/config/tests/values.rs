//! Single values: their types, ranges and names.

use super::refused;

refused! { string_for_an_integer,
r#"
[server]
workers = "4"
"#,
r#"
error: `server.workers`: expected an integer, found a string
 --> c.toml:2:11
  |
2 | workers = "4"
  |           ^^^
  |
  = help: write `4` without quotes

c.toml: 1 error
"#
}

refused! { string_for_a_boolean,
r#"
[intercept]
enabled = " true"
"#,
r#"
error: `intercept.enabled`: expected true or false, found a string
 --> c.toml:2:11
  |
2 | enabled = " true"
  |           ^^^^^^^
  |
  = help: write `true` without quotes

c.toml: 1 error
"#
}

refused! { string_for_an_array,
r#"
[domains]
intercept_domains = "example.com"
"#,
r#"
error: `domains.intercept_domains`: expected an array, found a string
 --> c.toml:2:21
  |
2 | intercept_domains = "example.com"
  |                     ^^^^^^^^^^^^^
  |
  = help: write it in brackets: ["example.com"]

c.toml: 1 error
"#
}

refused! { float_for_an_integer,
"
[server]
request_timeout = 1.5
",
"
error: `server.request_timeout`: expected an integer, found a floating-point number
 --> c.toml:2:19
  |
2 | request_timeout = 1.5
  |                   ^^^
  |
  = help: write whole seconds as a number, such as 30

c.toml: 1 error
"
}

refused! { date_for_a_string,
"
[logging]
level = 2024-01-01
",
"
error: `logging.level`: expected a string, found a date or time
 --> c.toml:2:9
  |
2 | level = 2024-01-01
  |         ^^^^^^^^^^

c.toml: 1 error
"
}

refused! { negative_integer,
"
[server]
workers = -1
",
"
error: `server.workers`: -1 is out of range
 --> c.toml:2:11
  |
2 | workers = -1
  |           ^^ must be from 1 to 1024

c.toml: 1 error
"
}

refused! { zero,
"
[server]
keep_alive_timeout = 0
",
"
error: `server.keep_alive_timeout`: 0 is out of range
 --> c.toml:2:22
  |
2 | keep_alive_timeout = 0
  |                      ^ must be from 1 to 86400

c.toml: 1 error
"
}

refused! { huge_integer,
"
[server]
request_timeout = 99999999999999999999999999999999999999999999
",
"
error: `server.request_timeout`: 99999999999999999999999999999999999999999999 is out of range
 --> c.toml:2:19
  |
2 | request_timeout = 99999999999999999999999999999999999999999999
  |                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ must be from 1 to 86400

c.toml: 1 error
"
}

refused! { hexadecimal_out_of_range,
"
[server]
workers = 0xffff
",
"
error: `server.workers`: 0xffff is out of range
 --> c.toml:2:11
  |
2 | workers = 0xffff
  |           ^^^^^^ must be from 1 to 1024

c.toml: 1 error
"
}

refused! { bind_address_without_a_port,
r#"
[server]
bind_address = "0.0.0.0"
"#,
r#"
error: `server.bind_address`: not an IP address with a port
 --> c.toml:2:16
  |
2 | bind_address = "0.0.0.0"
  |                ^^^^^^^^^
  |
  = help: write it as "127.0.0.1:8080" or "[::1]:8080"

c.toml: 1 error
"#
}

refused! { weight_out_of_range,
r#"
[[targets.targets]]
name = "a"
url = "http://10.0.0.1"
weight = 65536
"#,
"
error: `targets.targets.weight`: 65536 is out of range
 --> c.toml:4:10
  |
4 | weight = 65536
  |          ^^^^^ must be from 0 to 65535

c.toml: 1 error
"
}

refused! { ports_out_of_range,
"
[intercept]
ports = [0, 80, 65536]
",
"
error: `intercept.ports`: 0 is out of range
 --> c.toml:2:10
  |
2 | ports = [0, 80, 65536]
  |          ^ must be from 1 to 65535

error: `intercept.ports`: 65536 is out of range
 --> c.toml:2:17
  |
2 | ports = [0, 80, 65536]
  |                 ^^^^^ must be from 1 to 65535

c.toml: 2 errors
"
}

refused! { misspelt_algorithm,
r#"
[targets.load_balancing]
type = "round-robin"
"#,
r#"
error: `targets.load_balancing.type`: unknown value `round-robin`
 --> c.toml:2:8
  |
2 | type = "round-robin"
  |        ^^^^^^^^^^^^^ must be `roundrobin`, `weighted`, `random`, `leastconnections`, `p2c`, `hash`, `round_robin` or `least_connections`
  |
  = help: did you mean `round_robin`?

c.toml: 1 error
"#
}

refused! { socket_that_is_no_absolute_path,
"
[admin]
socket = 'run/dispa.sock'
",
r#"
error: `admin.socket`: not the absolute path of a file
 --> c.toml:2:10
  |
2 | socket = 'run/dispa.sock'
  |          ^^^^^^^^^^^^^^^^
  |
  = help: write a path such as "/run/dispa/dispa.sock", or "" for no socket

c.toml: 1 error
"#
}

refused! { relative_cgroup,
r#"
[intercept]
cgroup = "user.slice"
"#,
r#"
error: `intercept.cgroup`: neither "auto" nor an absolute path
 --> c.toml:2:10
  |
2 | cgroup = "user.slice"
  |          ^^^^^^^^^^^^
  |
  = help: name a directory such as "/sys/fs/cgroup/user.slice"

c.toml: 1 error
"#
}

refused! { unknown_level,
r#"
[logging]
level = "warning"
format = "xml"
"#,
r#"
error: `logging.level`: unknown value `warning`
 --> c.toml:2:9
  |
2 | level = "warning"
  |         ^^^^^^^^^ must be `trace`, `debug`, `info`, `warn` or `error`

error: `logging.format`: unknown value `xml`
 --> c.toml:3:10
  |
3 | format = "xml"
  |          ^^^^^ must be `text` or `json`

c.toml: 2 errors
"#
}

refused! { sections_without_effect_are_checked_too,
r#"
[targets.health_check]
interval = 0
timeout = "5s"

[logging]
type = "db"
retention_days = -1

[logging.database]
url = ""

[logging.file]
max_file_size = 1e8

[monitoring]
metrics_port = 70000
port = 1
"#,
r#"
error: `targets.health_check.interval`: 0 is out of range
 --> c.toml:2:12
  |
2 | interval = 0
  |            ^ must be from 1 to 86400

error: `targets.health_check.timeout`: expected an integer, found a string
 --> c.toml:3:11
  |
3 | timeout = "5s"
  |           ^^^^
  |
  = help: write whole seconds as a number, such as 30

error: `logging.type`: unknown value `db`
 --> c.toml:6:8
  |
6 | type = "db"
  |        ^^^^ must be `file`, `database` or `both`

error: `logging.retention_days`: -1 is out of range
 --> c.toml:7:18
  |
7 | retention_days = -1
  |                  ^^ must be from 1 to 36500

error: `logging.database.url`: cannot be empty
  --> c.toml:10:7
   |
10 | url = ""
   |       ^^

error: `logging.file.max_file_size`: expected an integer, found a floating-point number
  --> c.toml:13:17
   |
13 | max_file_size = 1e8
   |                 ^^^

error: `monitoring.metrics_port`: 70000 is out of range
  --> c.toml:16:16
   |
16 | metrics_port = 70000
   |                ^^^^^ must be from 0 to 65535

error: unknown key `port` in [monitoring]
  --> c.toml:17:1
   |
17 | port = 1
   | ^^^^
   |
   = help: the keys in [monitoring] are `bind_address`, `enabled`, `health_check_port` and `metrics_port`

c.toml: 8 errors
"#
}
