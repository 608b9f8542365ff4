//! `SQLite`, embedded.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension as _, Statement, ToSql,
    TransactionBehavior, params, params_from_iter, types::ToSqlOutput,
};
use uuid::Uuid;

use super::{
    DatabaseError, Purpose,
    schema::{COLUMNS, Dialect, VERSION, VERSION_TABLE},
    search::{Search, Value},
};
use crate::{
    exchange::Row,
    sink::lines::{make_parent, touch},
};

/// It has no types of its own for these; all are text that sorts as it should.
const DIALECT: Dialect =
    Dialect { uuid: "TEXT", moment: "TEXT", json: "TEXT", later: &[WITHOUT_UNKNOWN] };

/// What is not known is looked for by nobody, and each entry of an index costs as much as half a row.
const WITHOUT_UNKNOWN: &str = "
    DROP INDEX traffic_host;
    DROP INDEX traffic_status;
    DROP INDEX traffic_process;
    CREATE INDEX traffic_host ON traffic (host, id) WHERE host IS NOT NULL;
    CREATE INDEX traffic_status ON traffic (status_code, id) WHERE status_code IS NOT NULL;
    CREATE INDEX traffic_process ON traffic (process, id) WHERE process IS NOT NULL;
";

/// Rows of one statement: the tables and indexes are opened for each, which costs more than a row.
const ROWS: usize = 20;

/// Bytes of a page of a new database. Smaller ones are split more often, and written one by one.
const PAGE_SIZE: u32 = 8_192;

/// KiB of memory for pages, so that those at the ends of the indexes are in it.
const CACHE_SIZE: i64 = 8_192;

/// Pages of the write-ahead log after which they are copied into the file: the ends of the indexes are
/// in most transactions, and copied once.
const CHECKPOINT_AFTER: u32 = 4_000;

/// A file that is a database.
#[derive(Debug)]
pub(in crate::sink) struct Sqlite {
    connection: Connection,
    path: PathBuf,
    /// Device and inode of the file.
    identity: (u64, u64),
    /// Inserts one row, and [`ROWS`] of them.
    insert: [String; 2],
}

/// Steps of `SQLite`'s machine between two looks at the clock: well below a millisecond.
const STEPS: i32 = 10_000;

impl Sqlite {
    pub(super) fn open(
        path: &Path,
        purpose: Purpose,
        patience: Duration,
    ) -> Result<Self, DatabaseError> {
        let flags = match purpose {
            Purpose::Write => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
            // A log that is not being written has its write-ahead log made for it.
            Purpose::Read => OpenFlags::SQLITE_OPEN_READ_WRITE,
        };
        if purpose == Purpose::Write {
            make_parent(path)
                .and_then(|()| touch(path))
                .map_err(|error| DatabaseError::Away(error.to_string()))?;
        }
        let connection =
            Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(purpose.patience(patience))?;
        let insert = [1, ROWS].map(insert_text);
        let identity = identity(path)?;
        let mut sqlite = Self { connection, path: path.to_owned(), identity, insert };
        match purpose {
            Purpose::Write => sqlite.prepare()?,
            Purpose::Read => sqlite.connection.pragma_update(None, "query_only", true)?,
        }
        Ok(sqlite)
    }

    /// A transaction survives the end of the process once it is committed; that of the machine once the
    /// write-ahead log has been copied into the file, or not: whole it is in any case.
    fn prepare(&mut self) -> Result<(), DatabaseError> {
        self.connection.pragma_update(None, "page_size", PAGE_SIZE)?;
        let mode: String =
            self.connection
                .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        if mode != "wal" {
            return Err(DatabaseError::Away(format!("its journal is {mode}, not WAL")));
        }
        self.connection.pragma_update(None, "synchronous", "NORMAL")?;
        self.connection.pragma_update(None, "journal_size_limit", JOURNAL_SIZE)?;
        // Negative: in KiB.
        self.connection.pragma_update(None, "cache_size", -CACHE_SIZE)?;
        self.connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_AFTER)?;
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute(VERSION_TABLE, [])?;
        let version: i32 = transaction.query_row(VERSION, [], |row| row.get(0))?;
        let migrations = DIALECT.migrations(version)?;
        if version > 0 && !migrations.is_empty() {
            tracing::info!(version, "the traffic log's database is brought up to date");
        }
        for migration in migrations {
            transaction.execute_batch(&migration)?;
        }
        Ok(transaction.commit()?)
    }

    pub(super) fn insert(&mut self, rows: &[Row<'_>]) -> Result<(), DatabaseError> {
        if identity(&self.path)? != self.identity {
            return Err(DatabaseError::Away("another file has taken its place".to_owned()));
        }
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let [one, many] = &self.insert;
        let (whole, rest) = rows.as_chunks::<ROWS>();
        let pieces =
            whole.iter().map(|rows| (many, &rows[..])).chain(rest.chunks(1).map(|row| (one, row)));
        for (text, rows) in pieces {
            let mut insert = transaction.prepare_cached(text)?;
            for (row, first) in rows.iter().zip((1..).step_by(COLUMNS.len())) {
                bind(&mut insert, first, row)?;
            }
            insert.raw_execute()?;
        }
        Ok(transaction.commit()?)
    }

    pub(super) fn remove(&self, before: Timestamp, most: u32) -> Result<u64, DatabaseError> {
        let mut remove = self.connection.prepare_cached(
            "DELETE FROM traffic WHERE rowid IN
                 (SELECT rowid FROM traffic WHERE timestamp < ?1 ORDER BY timestamp LIMIT ?2)",
        )?;
        Ok(remove.execute(params![moment(before), most])? as u64)
    }

    /// When the newest record began.
    pub(super) fn newest(&self) -> Result<Option<Timestamp>, DatabaseError> {
        let text = "SELECT timestamp FROM traffic ORDER BY id DESC LIMIT 1";
        let newest =
            self.connection.query_row(text, [], |row| row.get::<_, String>(0)).optional()?;
        Ok(newest.and_then(|text| text.parse().ok()))
    }

    pub(super) fn search(&self, search: &Search) -> Result<Vec<String>, DatabaseError> {
        let field = |name: &&str| match *name {
            "headers" => "'headers', json(headers)".to_owned(),
            name => format!("'{name}', {name}"),
        };
        let fields = COLUMNS.iter().map(field).collect::<Vec<_>>().join(", ");
        let text = format!("SELECT json_object({fields}) FROM traffic {}", search.tail);
        let mut statement = self.connection.prepare(&text)?;
        let deadline = search.deadline;
        let is_late = move || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        self.connection.progress_handler(STEPS, Some(is_late));
        let found = statement.query_map(params_from_iter(&search.values), |row| row.get(0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }
}

/// Inserts so many rows. Whatever else than a double is wrong with a record is to be heard of, and ends
/// the transaction: to be able to undo one statement alone, each that inserts several rows would have to
/// keep the pages that it changes.
fn insert_text(rows: usize) -> String {
    let row = format!("({})", ["?"; COLUMNS.len()].join(", "));
    let (columns, rows) = (COLUMNS.join(", "), vec![row; rows].join(", "));
    format!("INSERT OR ROLLBACK INTO traffic ({columns}) VALUES {rows} ON CONFLICT (id) DO NOTHING")
}

/// Binds the columns of a row to the parameters from `first` on.
fn bind(insert: &mut Statement<'_>, first: usize, row: &Row<'_>) -> Result<(), DatabaseError> {
    let headers = row.headers.as_ref().map(serde_json::to_string).transpose();
    let headers = headers.map_err(|error| DatabaseError::Refused(error.to_string()))?;
    let mut id = Uuid::encode_buffer();
    let id: &str = row.id.hyphenated().encode_lower(&mut id);
    let values: [&dyn ToSql; COLUMNS.len()] = [
        &id,
        &moment(row.timestamp),
        &row.client_ip.to_string(),
        &row.client_port,
        &row.door,
        &row.origin.map(|origin| origin.to_string()),
        &row.protocol,
        &row.host,
        &row.sni,
        &row.method,
        &row.path,
        &row.query,
        &row.rule,
        &row.target,
        &row.attempts,
        &row.status_code,
        &signed(row.request_bytes),
        &signed(row.response_bytes),
        &row.first_byte_ms,
        &row.duration_ms,
        &row.outcome,
        &row.fault,
        &row.pid,
        &row.process,
        &row.executable,
        &row.uid,
        &row.cgroup,
        &row.unit,
        &row.container,
        &headers,
    ];
    for (number, value) in (first..).zip(values) {
        insert.raw_bind_parameter(number, value)?;
    }
    Ok(())
}

/// By what a file is told from another one of its name.
fn identity(path: &Path) -> Result<(u64, u64), DatabaseError> {
    let told = |error: io::Error| DatabaseError::Away(error.to_string());
    fs::metadata(path).map(|it| (it.dev(), it.ino())).map_err(told)
}

/// Bytes of the write-ahead log that are kept once it has been copied.
const JOURNAL_SIZE: i64 = 64 * 1024 * 1024;

/// Always as long, so that texts sort as times do.
fn moment(timestamp: Timestamp) -> String {
    format!("{timestamp:.6}")
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Id(id) => id.to_string().into(),
            Self::Moment(timestamp) => moment(*timestamp).into(),
            Self::Text(text) => text.as_str().into(),
            Self::Integer(number) => (*number).into(),
            Self::Real(number) => (*number).into(),
        })
    }
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        let of_the_record =
            [ErrorCode::ConstraintViolation, ErrorCode::TooBig, ErrorCode::TypeMismatch];
        match error.sqlite_error_code() {
            Some(code) if of_the_record.contains(&code) => Self::Refused(error.to_string()),
            _ => Self::Away(error.to_string()),
        }
    }
}
