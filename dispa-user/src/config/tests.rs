//! The configuration from outside: text in, `Config` or report out.

mod described;
mod keys;
mod meaning;
mod monitoring;
mod pools;
mod programs;
mod shipped;
mod values;
mod warnings;

use std::path::Path;

use proptest::prelude::*;

use super::*;

/// A test that a document is refused with exactly this report.
macro_rules! refused {
    ($name:ident, $toml:literal, $report:literal) => {
        #[test]
        fn $name() {
            let error = $crate::config::tests::parse($toml).expect_err("should be refused");
            assert_eq!(format!("\n{error}\n"), $report);
        }
    };
}

/// A test that a document is accepted with exactly these warnings.
macro_rules! accepted {
    ($name:ident, $toml:literal, $warnings:literal) => {
        #[test]
        fn $name() {
            let config = $crate::config::tests::parse($toml).expect("should be accepted");
            assert_eq!(format!("\n{}\n", config.warnings.join("\n\n")), $warnings);
        }
    };
}

use {accepted, refused};

/// Parses as a file `c.toml` whose first line is the one after the opening quote.
fn parse(toml: &str) -> Result<Config, ConfigError> {
    let text = toml.strip_prefix('\n').unwrap_or(toml);
    Config::parse(text, "c.toml", &Overrides::default())
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("a socket address")
}

#[test]
fn an_empty_document_has_every_default() {
    let config = parse("").expect("valid");
    assert_eq!(config.server.bind_address, address("127.0.0.1:8080"));
    assert!(config.server.workers.get() >= 1);
    assert_eq!(config.server.keep_alive_timeout.as_secs(), 60);
    assert_eq!(config.server.request_timeout.as_secs(), 30);
    assert!(config.rules.is_empty());
    assert_eq!(config.backends, []);
    assert_eq!(config.pools[0].balancing.algorithm, crate::balance::Algorithm::RoundRobin);
    let intercept = Intercept {
        enabled: true,
        cgroup: CgroupChoice::Auto,
        ports: vec![80, 443],
        scope: Scope::Learned,
        dns: Dns::Relay,
        on_no_backend: OnNoBackend::Fail,
        attribution: true,
        include: Programs::default(),
        exclude: Programs::default(),
    };
    assert_eq!(config.intercept, intercept);
    let logging = Logging { level: Level::Info, format: Format::Text, output: Output::Console };
    assert_eq!(config.logging, logging);
    assert_eq!(config.admin.socket, Some("/run/dispa/dispa.sock".into()));
    assert_eq!(config.admin.page.address(), Some(address("127.0.0.1:9080")));
}

#[test]
fn a_target_has_defaults() {
    let config =
        parse("[[targets.targets]]\nname = 'a'\nurl = 'HTTP://Example.COM/'").expect("valid");
    let target = &config.backends[0];
    assert_eq!(target.authority.to_string(), "example.com:80");
    assert_eq!((target.weight, target.timeout), (1, None));
}

#[test]
fn an_empty_path_is_no_socket() {
    let socket = |text: &str| parse(text).expect("valid").admin.socket;
    assert_eq!(socket("[admin]\nsocket = ''"), None);
    assert_eq!(socket("[admin]\nsocket = '/tmp/d.sock'"), Some("/tmp/d.sock".into()));
}

#[test]
fn an_ipv6_target_is_shown_in_brackets() {
    let config = parse("[[targets.targets]]\nname = 'a'\nurl = 'http://[::1]:81'").expect("valid");
    assert_eq!(config.backends[0].authority.host.as_str(), "::1");
    assert_eq!(config.backends[0].authority.to_string(), "[::1]:81");
}

#[test]
fn the_command_line_wins_over_the_file() {
    let overrides =
        Overrides { bind_address: Some(address("0.0.0.0:9000")), ..Overrides::default() };
    let config = Config::parse("[server]\nbind_address = '[::1]:80'", "c.toml", &overrides);
    assert_eq!(config.expect("valid").server.bind_address, address("0.0.0.0:9000"));
}

#[test]
fn the_command_line_does_not_hide_errors_of_the_file() {
    let overrides =
        Overrides { bind_address: Some(address("0.0.0.0:9000")), ..Overrides::default() };
    let config = Config::parse("[server]\nbind_address = 'here'", "c.toml", &overrides);
    assert!(matches!(config, Err(ConfigError::Invalid { count: 1, .. })));
}

#[test]
fn colour_only_if_asked_for() {
    let report = |styled| {
        let overrides = Overrides { styled, ..Overrides::default() };
        Config::parse("a = 1", "c.toml", &overrides).expect_err("invalid").to_string()
    };
    assert!(!report(false).contains('\u{1b}'));
    assert!(report(true).contains('\u{1b}'));
}

#[test]
fn a_missing_file_says_what_to_do() {
    let path = Path::new("/nonexistent/dispa.toml");
    let error = Config::from_file(path, &Overrides::default()).expect_err("no such file");
    assert_eq!(
        error.to_string(),
        "cannot read the configuration /nonexistent/dispa.toml: No such file or directory (os error 2); \
         write one (config/minimal.toml is a start) or name another with -c"
    );
}

#[test]
fn places_are_right_after_a_byte_order_mark_and_with_windows_line_ends() {
    let error = parse("\u{feff}[server]\r\nworkers = 0\r\n").expect_err("invalid");
    assert!(error.to_string().contains("c.toml:2:11\n"), "{error}");
}

/// Documents made of pieces that mean something, so that most get past the syntax.
fn documents() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "[server]",
        "[domains]",
        "[[targets.targets]]",
        "[targets]",
        "[targets.load_balancing]",
        "[logging]",
        "[intercept]",
        "[monitoring]",
        "[admin]",
        "socket = ",
        "workers = ",
        "bind_address = ",
        "type = ",
        "intercept_domains = ",
        "exclude_domains = ",
        "name = ",
        "url = ",
        "weight = ",
        "ports = ",
        "cgroup = ",
        "level = ",
        "server = ",
        "targets = ",
        "x = ",
        "1",
        "-1",
        "0xff",
        "1.5",
        "true",
        "\"*.a.com\"",
        "\"http://a:1\"",
        "'",
        "\"",
        "\"\"\"",
        "[",
        "]",
        "{ a = 1 }",
        "[1, 'b']",
        "[[80]]",
        "1979-05-27",
        "# ü",
        "\u{feff}",
        "\t",
        "\r\n",
        "\n",
        "\n",
        "\n",
        " ",
        "=",
        ".",
        ",",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn almost_configurations_never_panic(text in documents()) {
        let _ = parse(&text);
    }

    #[test]
    fn a_refusal_counts_its_errors(text in documents()) {
        if let Err(ConfigError::Invalid { report, count }) = parse(&text) {
            let shown = report.lines().filter(|line| line.starts_with("error: ")).count();
            prop_assert_eq!(shown, count);
            prop_assert!(count >= 1);
        }
    }
}

fn with(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let environment = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let overrides = Overrides { environment: environment.collect(), ..Overrides::default() };
    Config::parse(text, "c.toml", &overrides)
}

#[test]
fn the_environment_wins_over_the_file() {
    let text = "[server]\nworkers = 2\nrequest_timeout = 7\n";
    let variables = [
        ("DISPA__SERVER__WORKERS", "3"),
        ("DISPA__DOMAINS__EXCLUDE_DOMAINS", "[\"a.com\", \"*.b.com\"]"),
        ("DISPA__HTTP__VIA", "front"),
        ("DISPA__TARGETS__LOAD_BALANCING__TYPE", "p2c"),
        ("DISPA_CONFIG", "elsewhere"),
        ("HOME", "/root"),
    ];
    let config = with(text, &variables).expect("valid");
    assert_eq!(config.server.workers.get(), 3);
    assert_eq!(config.server.request_timeout.as_secs(), 7);
    let host = crate::types::HostName::parse("x.b.com").expect("a host");
    assert!(config.rules.exclusion(&host).is_some());
    assert_eq!(config.pools[0].balancing.algorithm.name(), "p2c");
    assert_eq!(with("", &variables).expect("valid").server.workers.get(), 3);
}

#[test]
fn what_is_wrong_with_the_environment_is_shown_like_the_rest() {
    let variables = [
        ("DISPA__SERVER__WORKERS", "many"),
        ("DISPA__SERVER__WORKRES", "4"),
        ("DISPA__TARGETS__TARGETS__URL", "http://a"),
        ("DISPA__LOGGING__FORMAT", "a\nb = 1"),
        ("DISPA__SERVER__A B", "1"),
    ];
    let text = "[[targets.targets]]\nname = 'a'\nurl = 'http://a'\n";
    let error = with(text, &variables).expect_err("refused");
    assert_eq!(
        format!("\n{error}\n"),
        r#"
error: `server.workers`: expected an integer, found a string
 --> c.toml:5:26
  |
5 | DISPA__SERVER__WORKERS = "many"
  |                          ^^^^^^

error: unknown key `workres` in [server]
 --> c.toml:6:1
  |
6 | DISPA__SERVER__WORKRES = 4
  | ^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: did you mean `workers`?

error: `targets` is no section of which a variable can set a key
 --> c.toml:7:1
  |
7 | DISPA__TARGETS__TARGETS__URL = "http://a"
  | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^

error: `logging.format`: unknown value `a\nb = 1`
 --> c.toml:8:26
  |
8 | DISPA__LOGGING__FORMAT = "a\nb = 1"
  |                          ^^^^^^^^^^ must be `text` or `json`

error: `DISPA__SERVER__A B` names no key
--> c.toml
 = help: a variable is written as DISPA__SECTION__KEY

c.toml: 5 errors
"#
    );
}

#[test]
fn what_cannot_change_while_the_daemon_runs_stays_and_is_named() {
    let old = parse("[server]\nworkers = 2\n[admin]\nsocket = '/run/a'").expect("valid");
    let new = "
[server]
bind_address = '127.0.0.1:9000'
workers = 3
request_timeout = 5
[intercept]
enabled = false
cgroup = '/sys/fs/cgroup/a'
ports = [80]
scope = 'all'
dns = 'resolve'
on_no_backend = 'passthrough'
attribution = false
include = { uids = [1] }
exclude = { units = ['a.service'] }
[logging]
level = 'debug'
format = 'json'
output = 'file'
file_path = '/tmp/log'
type = 'both'
[admin]
socket = '/run/b'
address = ''
token_file = '/tmp/token'
allowed_hosts = []
[monitoring]
enabled = false
bind_address = '::1'
metrics_port = 1
health_check_port = 2
[http]
via = 'other'
";
    let (config, stay) = parse(new).expect("valid").in_place_of(&old);
    assert_eq!(
        stay,
        [
            "server.bind_address",
            "server.workers",
            "intercept.enabled",
            "intercept.cgroup",
            "intercept.ports",
            "intercept.scope",
            "intercept.dns",
            "intercept.attribution",
            "intercept.include",
            "intercept.exclude",
            "logging.level",
            "logging.format",
            "logging.output",
            "logging (traffic log)",
            "admin.socket",
            "admin.address",
            "admin.token_file",
            "admin.allowed_hosts",
            "monitoring.enabled",
            "monitoring.bind_address",
            "monitoring.metrics_port",
            "monitoring.health_check_port"
        ]
    );
    let intercept = Intercept { on_no_backend: OnNoBackend::Passthrough, ..old.intercept.clone() };
    assert_eq!(config.intercept, intercept);
    assert_eq!((&config.logging, &config.admin), (&old.logging, &old.admin));
    assert_eq!(config.traffic_log, None);
    assert_eq!(config.server.workers, old.server.workers);
    assert_eq!(config.server.request_timeout.as_secs(), 5);
    assert!(config.in_place_of(&old).1.is_empty(), "it was put back");
}
