//! The traffic log's part of `[logging]`: where every exchange is written down, and for how long.

use std::{path::PathBuf, time::Duration};

use http::HeaderName;

use super::problem::Problem;
use super::section::Section;
use super::value::{Reading, Value, boolean, choice, integer, list, nonempty, parsed, seconds};

/// A century.
const MAX_RETENTION_DAYS: u32 = 36_500;
/// More connections than a database server takes from one client.
const MAX_DATABASE_CONNECTIONS: u32 = 10_000;
/// Bytes of a file that holds more than a few lines, however long these are.
const MIN_FILE_SIZE: u64 = 65_536;
/// A tenth of a second is as often as anybody looks.
const FLUSH_INTERVAL: std::ops::RangeInclusive<u64> = 100..=60_000;

const DEFAULT_RETENTION_DAYS: u32 = 30;
const DEFAULT_FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// Seconds of full speed.
const DEFAULT_QUEUE_SIZE: usize = 16 * 1024 * 1024;
const DEFAULT_FILE_SIZE: u64 = 100 * 1024 * 1024;
const DEFAULT_TOTAL_SIZE: u64 = 10 * 1024 * 1024 * 1024;
const DEFAULT_SPILL_SIZE: u64 = 1024 * 1024 * 1024;
const DEFAULT_URL: &str = "sqlite://./data/traffic.db";
const DEFAULT_CONNECTIONS: u32 = 10;
const DEFAULT_CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// What names secrets in queries most often.
const DEFAULT_REDACT: [&str; 10] = [
    "access_token",
    "api_key",
    "apikey",
    "auth",
    "code",
    "key",
    "password",
    "secret",
    "signature",
    "token",
];

/// The keys that switch the log on by being there.
const KEYS: [&str; 10] = [
    "type",
    "retention_days",
    "flush_interval_ms",
    "max_queue_size",
    "headers",
    "query",
    "redact",
    "database",
    "file",
    "enabled",
];

/// How every exchange is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficLog {
    /// Into files.
    pub file: Option<LogFiles>,
    /// Into a database.
    pub database: Option<LogDatabase>,
    /// For how many days a record is kept.
    pub retention_days: u32,
    /// The longest that a record may wait to be written while all goes well.
    pub flush_interval: Duration,
    /// Bytes of records that may wait, for the files and for the database each.
    pub max_queue_size: usize,
    /// What of it is written down.
    pub content: LogContent,
}

/// What of an exchange is written down besides what always is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogContent {
    /// Fields of the request.
    pub headers: Vec<HeaderName>,
    /// Whether the request's query is.
    pub query: bool,
    /// Names of query keys and fields, in lower case, whose values never are.
    pub redact: Vec<String>,
}

/// A directory of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFiles {
    /// The directory.
    pub directory: PathBuf,
    /// Bytes after which a new file is begun.
    pub max_file_size: u64,
    /// Whether it is, and whether files that are done are compressed.
    pub rotation: bool,
    /// Bytes of all files together; the oldest are removed.
    pub max_total_size: u64,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDatabase {
    /// Which.
    pub url: DatabaseUrl,
    /// Connections to it that may be open at once.
    pub max_connections: u32,
    /// The longest that it may take to connect, and to answer.
    pub connection_timeout: Duration,
    /// The file for what is written down while the database is away.
    pub spill_file: PathBuf,
    /// Bytes that it may have.
    pub max_spill_size: u64,
}

/// Which database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file.
    Sqlite(PathBuf),
    /// A server.
    Postgres(Box<tokio_postgres::Config>),
}

/// Where records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Database,
    Both,
}

const KINDS: &[(&str, Kind)] =
    &[("file", Kind::File), ("database", Kind::Database), ("both", Kind::Both)];

impl TrafficLog {
    /// Out of `[logging]`; none if it is not to be written.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let is_meant = KEYS.iter().any(|key| section.has(key));
        let enabled = section.key_or("enabled", boolean, is_meant);
        let kind = section.key_or("type", choice(KINDS), Kind::File);
        let days = section.key("retention_days", integer(1..=MAX_RETENTION_DAYS));
        let flush = section.key("flush_interval_ms", milliseconds);
        let queue = section.key("max_queue_size", integer(MIN_FILE_SIZE..=1 << 40));
        let content = LogContent::read(section);
        let database = section.table("database", LogDatabase::read);
        let files = section.table("file", LogFiles::read);
        enabled.then(|| Self {
            file: (kind != Kind::Database).then_some(files),
            database: (kind != Kind::File).then_some(database),
            retention_days: days.unwrap_or(DEFAULT_RETENTION_DAYS),
            flush_interval: flush.unwrap_or(DEFAULT_FLUSH_INTERVAL),
            max_queue_size: queue
                .and_then(|size| usize::try_from(size).ok())
                .unwrap_or(DEFAULT_QUEUE_SIZE),
            content,
        })
    }
}

impl LogContent {
    fn read(section: &mut Section<'_>) -> Self {
        let redact = section.key("redact", list(lower_case));
        Self {
            headers: section.key_or("headers", list(field), Vec::new()),
            query: section.key_or("query", boolean, false),
            redact: redact.unwrap_or_else(|| DEFAULT_REDACT.map(str::to_owned).to_vec()),
        }
    }
}

impl LogFiles {
    fn read(section: &mut Section<'_>) -> Self {
        let sizes = || integer(MIN_FILE_SIZE..=1 << 50);
        Self {
            directory: section.key_or("directory", path, "./logs".into()),
            max_file_size: section.key_or("max_file_size", sizes(), DEFAULT_FILE_SIZE),
            rotation: section.key_or("rotation", boolean, true),
            max_total_size: section.key_or("max_total_size", sizes(), DEFAULT_TOTAL_SIZE),
        }
    }
}

impl LogDatabase {
    fn read(section: &mut Section<'_>) -> Self {
        let sizes = integer(MIN_FILE_SIZE..=1 << 50);
        let url = section.key("url", database);
        let default = || DatabaseUrl::Sqlite(DEFAULT_URL.trim_start_matches("sqlite://").into());
        Self {
            url: url.unwrap_or_else(default),
            max_connections: section.key_or(
                "max_connections",
                integer(1..=MAX_DATABASE_CONNECTIONS),
                DEFAULT_CONNECTIONS,
            ),
            connection_timeout: section.key_or(
                "connection_timeout",
                seconds,
                DEFAULT_CONNECTION_TIMEOUT,
            ),
            spill_file: section.key_or("spill_file", path, "./data/traffic-spill.jsonl".into()),
            max_spill_size: section.key_or("max_spill_size", sizes, DEFAULT_SPILL_SIZE),
        }
    }
}

impl DatabaseUrl {
    /// Reads `sqlite://PATH` or `postgresql://USER@HOST/DATABASE`. No error repeats a password.
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            // Other programs write how the file is to be opened after it.
            let path = path.split('?').next().unwrap_or_default();
            return match path {
                "" => Err("no file is named".to_owned()),
                ":memory:" => Err("a database in memory would be gone at the stop".to_owned()),
                path => Ok(Self::Sqlite(path.into())),
            };
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err("neither SQLite nor PostgreSQL".to_owned());
        }
        let server: tokio_postgres::Config =
            text.parse().map_err(|error: tokio_postgres::Error| error.to_string())?;
        if server.get_hosts().is_empty() {
            return Err("no server is named".to_owned());
        }
        if server.get_ssl_mode() == tokio_postgres::config::SslMode::Require {
            return Err("TLS to the database is not spoken".to_owned());
        }
        Ok(Self::Postgres(Box::new(server)))
    }
}

fn database(value: &Value<'_>) -> Reading<DatabaseUrl> {
    let example =
        "write it as \"sqlite://./data/traffic.db\" or \"postgresql://dispa@localhost/traffic\"";
    let text = nonempty(value)?;
    DatabaseUrl::parse(&text).map_err(|error| {
        let problem = Problem::error(error).help(example);
        // The line is shown with its mark, and logged: not one with a password in it.
        vec![if text.contains(['@', '?']) { problem } else { problem.at(value.span(), "") }]
    })
}

fn path(value: &Value<'_>) -> Reading<PathBuf> {
    nonempty(value).map(PathBuf::from)
}

fn milliseconds(value: &Value<'_>) -> Reading<Duration> {
    integer(FLUSH_INTERVAL)(value).map(Duration::from_millis)
}

fn lower_case(value: &Value<'_>) -> Reading<String> {
    nonempty(value).map(|name| name.to_ascii_lowercase())
}

fn field(value: &Value<'_>) -> Reading<HeaderName> {
    let parse = |text: &str| text.parse().map_err(|_| "not the name of a header field");
    parsed(parse, "write names such as \"user-agent\"")(value)
}

#[cfg(test)]
mod tests;
