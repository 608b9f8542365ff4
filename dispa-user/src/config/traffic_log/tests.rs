//! What the traffic log's keys mean.

use super::{DatabaseUrl, TrafficLog};
use crate::config::{Config, Overrides};

fn read(text: &str) -> Option<TrafficLog> {
    Config::parse(text, "c.toml", &Overrides::default()).expect("valid").traffic_log
}

fn refusal(url: &str) -> String {
    let text = format!("[logging.database]\nurl = {url:?}");
    Config::parse(&text, "c.toml", &Overrides::default()).expect_err("refused").to_string()
}

#[test]
fn it_is_on_where_it_is_spoken_of() {
    for off in [
        "",
        "[logging]",
        "[logging]\nlevel = 'warn'\nformat = 'json'",
        "[logging]\nenabled = false\ntype = 'both'",
    ] {
        assert_eq!(read(off), None, "{off}");
    }
    for on in ["enabled = true", "retention_days = 7", "query = true", "file = {}", "database = {}"]
    {
        let log = read(&format!("[logging]\n{on}")).expect("on");
        assert!(log.file.is_some() && log.database.is_none(), "{on}");
    }
    let log = read("[logging]\ntype = 'database'").expect("on");
    assert!(log.file.is_none() && log.database.is_some());
}

#[test]
fn a_database_is_a_file_or_a_server() {
    for (url, path) in [
        ("sqlite://./data/traffic.db", "./data/traffic.db"),
        ("sqlite:///var/lib/dispa/traffic.db", "/var/lib/dispa/traffic.db"),
        ("sqlite:traffic.db?mode=rwc", "traffic.db"),
    ] {
        assert_eq!(DatabaseUrl::parse(url), Ok(DatabaseUrl::Sqlite(path.into())));
    }
    let Ok(DatabaseUrl::Postgres(server)) =
        DatabaseUrl::parse("postgres://dispa:pw@db.test:5433/traffic")
    else {
        panic!("a server");
    };
    assert_eq!((server.get_dbname(), server.get_ports()), (Some("traffic"), &[5433][..]));
}

#[test]
fn what_cannot_be_used_is_refused_without_telling_a_password() {
    for (url, why) in [
        ("mysql://u:s3cret@h/d", "neither SQLite nor PostgreSQL"),
        ("sqlite::memory:", "would be gone at the stop"),
        ("sqlite://", "no file is named"),
        ("postgresql:///traffic?password=s3cret", "no server is named"),
        ("postgresql://u:s3cret@h/d?sslmode=require", "TLS to the database is not spoken"),
        ("postgresql://u:s3cret@h:x/d", "invalid"),
    ] {
        let error = refusal(url);
        assert!(error.contains(why) && error.contains("write it as"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}
