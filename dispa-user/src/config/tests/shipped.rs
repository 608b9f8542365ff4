//! The files that come with the project, and the manual's example.

use super::super::findings::Findings;
use super::*;

const FULL: &str = include_str!("../../../../config/dispa.toml");
const MINIMAL: &str = include_str!("../../../../config/minimal.toml");
const REFERENCE: &str = include_str!("../../../../docs/configuration.md");

/// The complete example of the manual, put together from the snippets of its configuration guide.
const MANUAL: &str = include_str!("../../../../tests/e2e/manual.toml");

fn titles(config: &Config) -> Vec<&str> {
    config.warnings.iter().filter_map(|warning| warning.lines().next()).collect()
}

#[test]
fn the_manuals_example_loads_and_says_what_has_no_effect() {
    let config = parse(MANUAL).expect("valid");
    assert_eq!(config.server.bind_address, address("0.0.0.0:8080"));
    assert_eq!(config.server.workers.get(), 4);
    assert_eq!(config.pools[0].balancing.algorithm, crate::balance::Algorithm::Weighted);
    assert_eq!(config.pools[0].balancing.sticky, None);
    let weights: Vec<u32> = config.backends.iter().map(|target| target.weight).collect();
    assert_eq!(weights, [3, 2, 1]);
    assert_eq!(config.backends[2].authority.to_string(), "192.168.1.102:3000");
    assert!(config.health.enabled);
    assert_eq!((config.health.interval.as_secs(), config.health.timeout.as_secs()), (30, 10));
    assert_eq!((config.health.thresholds.healthy, config.health.thresholds.unhealthy), (2, 3));
    let log = config.traffic_log.as_ref().expect("asked for");
    let (files, database) =
        (log.file.as_ref().expect("files"), log.database.as_ref().expect("both"));
    assert_eq!((files.directory.to_str(), files.max_file_size), (Some("./logs"), 104_857_600));
    assert_eq!(database.url, DatabaseUrl::Sqlite("./data/traffic.db".into()));
    assert_eq!((database.max_connections, database.connection_timeout.as_secs()), (10, 30));
    assert_eq!((log.retention_days, files.rotation), (30, true));
    assert_eq!(titles(&config), [""; 0]);
    assert!(config.monitoring.enabled && config.monitoring.metrics.required);
    assert_eq!(config.monitoring.metrics.address, address("127.0.0.1:9090"));
    assert_eq!(config.monitoring.health.address, address("127.0.0.1:8081"));
}

#[test]
fn the_shipped_files_load_without_a_warning() {
    for text in [FULL, MINIMAL] {
        let config = parse(text).expect("valid");
        assert_eq!(config.warnings, [""; 0]);
        assert!(!config.rules.is_empty());
    }
}

/// The full file with every setting that is left at its default written out.
fn uncommented() -> String {
    let uncomment = |line: &'static str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => rest,
        _ => line,
    };
    FULL.lines().map(uncomment).collect::<Vec<_>>().join("\n")
}

fn known_keys(text: &str) -> Findings {
    let parsed = Parsed::new(text);
    Section::read_document(parsed.tree.get_ref(), Config::read).1
}

/// Whether the document has the key in that section; in the first of a `[[section]]`.
fn has(document: &toml::Table, section: &str, key: &str) -> bool {
    let path = section.trim_matches(['[', ']']).split('.').filter(|name| !name.is_empty());
    let mut table = Some(document);
    for name in path {
        let value = table.and_then(|table| table.get(name));
        let first = value.map(|value| value.get(0).unwrap_or(value));
        table = first.and_then(toml::Value::as_table);
    }
    table.is_some_and(|table| table.contains_key(key))
}

#[test]
fn the_full_file_has_every_key() {
    let text = uncommented();
    let document: toml::Table = text.parse().expect("TOML");
    for (section, key) in known_keys(&text).known_keys() {
        assert!(has(&document, section, key), "{key} is missing in {section}");
    }
}

/// Whether the reference has the key in the table of its section, or has it as a section.
fn is_documented(section: &str, key: &str) -> bool {
    let heading = format!("## `{section}`\n");
    let rest = REFERENCE.split_once(&heading).map_or("", |(_, rest)| rest);
    let table = rest.split("\n#").next().unwrap_or_default();
    let path = format!("{}.{key}", section.trim_matches(['[', ']']));
    let is_section = REFERENCE.contains(&format!("[{}", path.trim_start_matches('.')));
    table.contains(&format!("\n| `{key}` |")) || is_section
}

#[test]
fn the_reference_has_every_key() {
    for (section, key) in known_keys(&uncommented()).known_keys() {
        assert!(is_documented(section, key), "{key} is missing in {section}");
    }
}

#[test]
fn what_the_full_file_calls_defaults_are_the_defaults() {
    let (left_out, written) = (parse(FULL).expect("valid"), parse(&uncommented()).expect("valid"));
    let but_the_machines = |config: &Config| Server {
        workers: std::num::NonZeroUsize::MIN,
        max_memory: None,
        ..config.server.clone()
    };
    assert_eq!(but_the_machines(&left_out), but_the_machines(&written));
    assert_eq!(left_out.http, written.http);
    assert_eq!(left_out.connections, written.connections);
    assert_eq!(written.backends[0].timeout, Some(written.http.first_byte_timeout));
    assert_eq!(written.backends[0].max_connections, Some(written.connections.max_per_target));
    let but_own_limits = |config: &Config| -> Vec<Target> {
        let backends = config.backends.iter();
        backends.map(|it| Target { timeout: None, max_connections: None, ..it.clone() }).collect()
    };
    assert_eq!(but_own_limits(&left_out), but_own_limits(&written));
    assert_eq!(left_out.pools, written.pools);
    assert_eq!(left_out.health.thresholds, written.health.thresholds);
    assert_eq!(left_out.intercept, written.intercept);
    assert_eq!(left_out.logging, written.logging);
    assert_eq!((&left_out.traffic_log, &written.traffic_log), (&None, &None));
    let both = parse("[logging]\ntype = 'both'").expect("valid").traffic_log;
    let switched_on = uncommented()
        .replace("\nenabled = false\n", "\nenabled = true\n")
        .replace("type = \"file\"\nretention_days", "type = \"both\"\nretention_days");
    assert_eq!(parse(&switched_on).expect("valid").traffic_log, both);
    let asks = |config: &Config| {
        let Admin { socket, page } = config.admin.clone();
        (socket, page.address(), page.token_file, page.allowed_hosts)
    };
    assert_eq!(asks(&left_out), asks(&written));
    let places = |config: &Config| {
        let Monitoring { enabled, metrics, health } = config.monitoring;
        (enabled, metrics.address, health.address)
    };
    assert_eq!(places(&left_out), places(&written));
}
