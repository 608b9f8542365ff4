//! Where metrics, health and the log are.

use super::{address, parse, refused};
use crate::{config::Output, types::HostName};

refused! { monitoring_needs_an_address_and_two_ports,
r#"
[monitoring]
bind_address = "localhost"
metrics_port = 9000
health_check_port = 9000
[logging]
output = "file"
file_path = "logs/"
"#,
r#"
error: `monitoring.bind_address`: invalid IP address syntax
 --> c.toml:2:16
  |
2 | bind_address = "localhost"
  |                ^^^^^^^^^^^
  |
  = help: write an IP address such as "127.0.0.1"

error: metrics and health need ports of their own
 --> c.toml:4:21
  |
4 | health_check_port = 9000
  |                     ^^^^ this one is the other's

error: `logging.file_path`: not the path of a file
 --> c.toml:7:13
  |
7 | file_path = "logs/"
  |             ^^^^^^^
  |
  = help: write a path such as "/var/log/dispa/dispa.log"

c.toml: 3 errors
"#
}

refused! { a_log_that_goes_to_a_file_needs_one,
r#"
[logging]
output = "file"
"#,
r#"
error: `file_path` is missing in [logging]
 --> c.toml:1:1
  |
1 | [logging]
  | ^^^^^^^^^
  |
  = help: add `file_path = "/var/log/dispa/dispa.log"`

c.toml: 1 error
"#
}

refused! { the_page_needs_an_address_with_a_port_a_file_and_hosts,
r#"
[admin]
address = "localhost"
token_file = "token"
allowed_hosts = ["a.test:80"]
"#,
r#"
error: `admin.address`: not an IP address and a port
 --> c.toml:2:11
  |
2 | address = "localhost"
  |           ^^^^^^^^^^^
  |
  = help: write them as "127.0.0.1:9080" or "[::1]:9080", or "" for no page

error: `admin.token_file`: not the absolute path of a file
 --> c.toml:3:14
  |
3 | token_file = "token"
  |              ^^^^^^^
  |
  = help: write a path such as "/var/lib/dispa/token"

error: `admin.allowed_hosts`: ':' cannot be part of a host name
 --> c.toml:4:18
  |
4 | allowed_hosts = ["a.test:80"]
  |                  ^^^^^^^^^^^
  |
  = help: write a host without a port, such as "proxy.example.com"

c.toml: 3 errors
"#
}

#[test]
fn the_page_is_there_unless_it_is_not_wanted() {
    let page = |text: &str| parse(text).expect("valid").admin.page;
    let port = page("").port.expect("by default");
    assert_eq!((port.address, port.required), (address("127.0.0.1:9080"), false));
    let port = page("[admin]\naddress = '[::1]:80'").port.expect("asked for");
    assert_eq!((port.address, port.required), (address("[::1]:80"), true));
    assert_eq!(page("[admin]\naddress = ''").port, None);
    let hosts = page("[admin]\nallowed_hosts = ['[::1]', 'A.test']").allowed_hosts;
    assert_eq!(hosts.iter().map(HostName::as_str).collect::<Vec<_>>(), ["::1", "a.test"]);
}

#[test]
fn only_a_port_that_is_asked_for_is_required() {
    let of = |text: &str| {
        let monitoring = parse(text).expect("valid").monitoring;
        (monitoring.enabled, monitoring.metrics.required, monitoring.health.required)
    };
    assert_eq!(of(""), (true, false, false));
    assert_eq!(of("[monitoring]\nmetrics_port = 9090"), (true, true, false));
    assert_eq!(of("[monitoring]\nhealth_check_port = 0"), (true, false, true));
    assert_eq!(of("[monitoring]\nenabled = true"), (true, true, true));
    assert_eq!(of("[monitoring]\nbind_address = '::1'"), (true, true, true));
    assert!(!of("[monitoring]\nenabled = false").0);
    let both = parse("[monitoring]\nmetrics_port = 0\nhealth_check_port = 0").expect("valid");
    assert_eq!(both.monitoring.metrics.address, address("127.0.0.1:0"));
    let other = parse("[monitoring]\nbind_address = '::1'").expect("valid");
    assert_eq!(other.monitoring.health.address, address("[::1]:8081"));
}

#[test]
fn the_log_goes_to_standard_error_unless_a_file_is_asked_for() {
    let output = |text: &str| parse(text).expect("valid").logging.output;
    assert_eq!(output(""), Output::Console);
    assert_eq!(output("[logging]\nfile_path = '/a'"), Output::Console);
    assert_eq!(output("[logging]\noutput = 'file'\nfile_path = '/a'"), Output::File("/a".into()));
}
