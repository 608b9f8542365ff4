//! The table, as versions that follow upon each other. Both databases have the same one; their indexes
//! may differ.

use super::DatabaseError;

/// The columns, by the names of a row's fields, in their order.
pub(super) const COLUMNS: [&str; 30] = [
    "id",
    "timestamp",
    "client_ip",
    "client_port",
    "door",
    "origin",
    "protocol",
    "host",
    "sni",
    "method",
    "path",
    "query",
    "rule",
    "target",
    "attempts",
    "status_code",
    "request_bytes",
    "response_bytes",
    "first_byte_ms",
    "duration_ms",
    "outcome",
    "fault",
    "pid",
    "process",
    "executable",
    "uid",
    "cgroup",
    "unit",
    "container",
    "headers",
];

/// The first version. What has been released never changes.
const FIRST: &str = "
    CREATE TABLE traffic (
        id {uuid} NOT NULL PRIMARY KEY,
        timestamp {moment} NOT NULL,
        client_ip TEXT NOT NULL,
        client_port INTEGER NOT NULL,
        door TEXT NOT NULL,
        origin TEXT,
        protocol TEXT NOT NULL,
        host TEXT,
        sni TEXT,
        method TEXT,
        path TEXT,
        query TEXT,
        rule TEXT,
        target TEXT,
        attempts INTEGER NOT NULL,
        status_code INTEGER,
        request_bytes BIGINT NOT NULL,
        response_bytes BIGINT NOT NULL,
        first_byte_ms DOUBLE PRECISION,
        duration_ms DOUBLE PRECISION NOT NULL,
        outcome TEXT NOT NULL,
        fault TEXT,
        pid BIGINT,
        process TEXT,
        executable TEXT,
        uid BIGINT,
        cgroup TEXT,
        unit TEXT,
        container TEXT,
        headers {json}
    );
    CREATE INDEX traffic_timestamp ON traffic (timestamp);
    CREATE INDEX traffic_host ON traffic (host, id);
    CREATE INDEX traffic_status ON traffic (status_code, id);
    CREATE INDEX traffic_process ON traffic (process, id);
";

/// Where the number of the last migration is.
pub(super) const VERSION_TABLE: &str =
    "CREATE TABLE IF NOT EXISTS dispa_schema (version INTEGER NOT NULL)";

/// Reads it; no row: 0.
pub(super) const VERSION: &str = "SELECT coalesce(max(version), 0) FROM dispa_schema";

/// How the databases call types that they do not share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    pub(super) uuid: &'static str,
    pub(super) moment: &'static str,
    pub(super) json: &'static str,
    /// What made versions of the first one, each of the one before it.
    pub(super) later: &'static [&'static str],
}

impl Dialect {
    /// What brings a table of this version up to date.
    pub(super) fn migrations(self, version: i32) -> Result<Vec<String>, DatabaseError> {
        let all = std::iter::once(&FIRST).chain(self.later);
        let known = i32::try_from(all.clone().count()).unwrap_or(i32::MAX);
        if version > known {
            return Err(DatabaseError::Away(format!(
                "its schema is of a later version of dispa ({version}, known are {known})"
            )));
        }
        let missing = all.zip(1..).filter(|(_, number)| *number > version);
        let script = |(text, number): (&&str, i32)| {
            let text = text
                .replace("{uuid}", self.uuid)
                .replace("{moment}", self.moment)
                .replace("{json}", self.json);
            format!("{text} INSERT INTO dispa_schema VALUES ({number});")
        };
        Ok(missing.map(script).collect())
    }
}
