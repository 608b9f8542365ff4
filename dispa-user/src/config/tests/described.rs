//! The schema, and what counts in the end.

use serde_json::{Value, json};

use super::super::effective::{Origin, Setting};
use super::super::reference::{Entry, REFERENCE, entries};
use super::super::schema::find;
use super::super::section::Section;
use super::super::shape::What;
use super::{Config, Overrides};

fn at<'v>(value: &'v Value, pointer: &str) -> &'v Value {
    value.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not in {value:#}"))
}

#[test]
fn the_schema_says_what_each_key_takes() {
    let schema = Config::schema();
    let workers = at(&schema, "/properties/server/properties/workers");
    assert_eq!(
        (workers["type"].as_str(), workers["maximum"].as_u64()),
        (Some("integer"), Some(1024))
    );
    assert_eq!(workers.get("default"), None, "it depends on the machine");
    let target = at(&schema, "/properties/targets/properties/targets/items");
    assert_eq!(target["required"], json!(["name", "url"]));
    assert_eq!(target["additionalProperties"], json!(false));
    let kind = at(&schema, "/properties/targets/properties/load_balancing/properties/type");
    assert!(kind["enum"].as_array().is_some_and(|names| names.contains(&json!("p2c"))));
    assert_eq!(kind["default"], json!("roundrobin"));
    let ports = at(&schema, "/properties/intercept/properties/ports");
    assert_eq!((&ports["type"], &ports["default"]), (&json!("array"), &json!([80, 443])));
    assert_eq!(ports["items"]["maximum"], json!(65_535));
    let status =
        at(&schema, "/properties/targets/properties/health_check/properties/expected_status");
    assert_eq!(status["anyOf"][0]["type"], json!("integer"));
}

/// Each with its meaning: an editor shows it.
#[test]
fn every_key_is_described() {
    let entries = entries();
    for known in Section::outline_of(Config::read) {
        if matches!(known.what, What::Key { .. }) {
            let entry = find(&entries, &known.section, known.name);
            let about = entry.map_or("", |entry| &entry.about);
            assert!(about.len() > 8, "{} in {}: {about:?}", known.name, known.section);
            assert!(!about.starts_with("As in"), "{} in {}", known.name, known.section);
        }
    }
}

/// What stands there as the default is what counts without it.
#[test]
fn what_is_given_as_the_default_is_the_default() {
    let config = |text: &str| {
        let config = Config::parse(text, "c.toml", &Overrides::default());
        let config = config.unwrap_or_else(|error| panic!("{text}: {error}"));
        let shown = format!("{:?}", Config { warnings: Vec::new(), traffic_log: None, ..config });
        // Whether a key of the traffic log is written decides whether there is one; its defaults have a
        // test of their own. Whether a port is written decides what becomes of a start that cannot have it.
        shown.replace("required: true", "required: false")
    };
    let is_single = |entry: &&Entry| {
        entry.section.starts_with('[')
            && !entry.section.starts_with("[[")
            && !entry.section.starts_with("[virtual_hosts")
    };
    let mut checked = 0;
    for entry in entries().iter().filter(is_single) {
        if let Some(default) = entry.default() {
            let without = config(&entry.section);
            let with = config(&format!("{}\n{} = {default}\n", entry.section, entry.key));
            assert_eq!(with, without, "{} in {}", entry.key, entry.section);
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked}");
}

fn effective(text: &str, overrides: &Overrides) -> Vec<Setting> {
    Config::effective(text, "c.toml", overrides).expect("valid")
}

fn setting<'s>(settings: &'s [Setting], section: &str, key: &str) -> &'s Setting {
    let mut found = settings.iter().filter(|it| it.section == section && it.key == key);
    found.next().unwrap_or_else(|| panic!("no {key} in {section}"))
}

#[test]
fn each_value_tells_where_it_came_from() {
    let text = "[server]\nworkers = 3\n\n[http]\nvia = \"me\"\n";
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let overrides = Overrides {
        bind_address: Some("127.0.0.1:9".parse().expect("an address")),
        environment: vec![
            variable("DISPA__HTTP__VIA", "you"),
            variable("DISPA__INTERCEPT__PORTS", "[81]"),
        ],
        styled: false,
    };
    let settings = effective(text, &overrides);
    let is = |section: &str, key: &str, value: Option<&str>, origin: &Origin| {
        let found = setting(&settings, section, key);
        assert_eq!((found.value.as_deref(), &found.origin), (value, origin), "{section} {key}");
    };
    is("[server]", "workers", Some("3"), &Origin::File(2));
    is("[server]", "bind_address", Some("\"127.0.0.1:9\""), &Origin::Bind);
    is("[server]", "request_timeout", Some("30"), &Origin::Default(None));
    is("[http]", "via", Some("\"you\""), &Origin::Environment("DISPA__HTTP__VIA".to_owned()));
    is(
        "[intercept]",
        "ports",
        Some("[81]"),
        &Origin::Environment("DISPA__INTERCEPT__PORTS".to_owned()),
    );
    let words = Origin::Default(Some("true if this section is written, else false".to_owned()));
    is("[targets.health_check]", "enabled", None, &words);
}

#[test]
fn without_workers_written_it_says_what_decides() {
    let settings = effective("", &Overrides::default());
    let workers = setting(&settings, "[server]", "workers");
    assert_eq!(workers.value, None);
    assert_eq!(workers.origin, Origin::Default(Some("one for each processor".to_owned())));
}

#[test]
fn what_the_reference_says_is_shown_as_it_says_it() {
    let settings = effective(REFERENCE, &Overrides::default());
    let names: Vec<_> = settings
        .iter()
        .filter(|it| it.section == "[[targets.targets]]" && it.key == "name")
        .collect();
    let [first, second] = names[..] else { panic!("{names:?}") };
    assert_eq!((first.index, first.value.as_deref()), (Some(0), Some("\"backend1\"")));
    assert_eq!((second.index, second.value.as_deref()), (Some(1), Some("\"backend2\"")));
    let Origin::File(line) = second.origin else { panic!("{second:?}") };
    assert_eq!(REFERENCE.lines().nth(line - 1), Some("name = \"backend2\""));
}

#[test]
fn secrets_are_not_shown() {
    let secret = "0123456789abcdef-canary";
    let text = format!(
        "[targets.load_balancing]\nsticky_sessions = true\n\
         [targets.load_balancing.sticky_cookie]\nkey = \"{secret}\"\n\
         [logging.database]\nurl = \"postgres://me:canary@db.test/traffic\"\n"
    );
    let settings = effective(&text, &Overrides::default());
    assert!(!format!("{settings:?}").contains("canary"), "{settings:?}");
    for (secret, shown) in [
        ("postgresql://h/db?user=u&password=canary", "postgresql://h/db?(hidden)"),
        ("postgresql://u:can/ary@h/db", "postgresql://u:(hidden)@h/db"),
        ("postgresql://u:can#ary@h/db", "postgresql://u:(hidden)@h/db"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("sqlite://./data/traffic.db", "sqlite://./data/traffic.db"),
    ] {
        assert_eq!(super::super::effective::without_password(secret), shown);
    }
    let url = setting(&settings, "[logging.database]", "url");
    assert_eq!(url.value.as_deref(), Some("\"postgres://me:(hidden)@db.test/traffic\""));
}
