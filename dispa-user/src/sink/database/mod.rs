//! One writer for two databases: `SQLite`, embedded, and `PostgreSQL`.

mod postgres;
mod schema;
mod search;
mod spill;
mod sqlite;
mod writer;

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use uuid::Uuid;

use super::query::Query;
use crate::{
    config::{DatabaseUrl, LogDatabase},
    exchange::Row,
};
use postgres::Postgres;
use sqlite::Sqlite;

pub(super) use writer::DatabaseSink;

/// The longest that writing may take: what hangs longer is away. Short, for the queue fills up meanwhile.
const LONGEST_WRITE: Duration = Duration::from_secs(2);

/// Why the database did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub(super) enum DatabaseError {
    /// It cannot be reached, or cannot write at all. Later it may.
    #[error("{0}")]
    Away(String),
    /// It takes no such record.
    #[error("{0}")]
    Refused(String),
}

/// An open database.
#[derive(Debug)]
pub(super) enum Database {
    Sqlite(Box<Sqlite>),
    Postgres(Box<Postgres>),
}

/// What it is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Tables are made where they are missing.
    Write,
    /// Nothing is changed.
    Read,
}

impl Purpose {
    /// How long an answer may take, of a database that may take so long to connect to.
    fn patience(self, patience: Duration) -> Duration {
        match self {
            Self::Write => patience.min(LONGEST_WRITE),
            Self::Read => patience,
        }
    }
}

impl Database {
    /// Connects, in `patience` at most.
    pub(super) fn open(
        config: &LogDatabase,
        purpose: Purpose,
        patience: Duration,
    ) -> Result<Self, DatabaseError> {
        match &config.url {
            DatabaseUrl::Sqlite(path) => {
                Sqlite::open(path, purpose, patience).map(Box::new).map(Self::Sqlite)
            }
            DatabaseUrl::Postgres(server) => {
                Postgres::open(server, purpose, patience).map(Box::new).map(Self::Postgres)
            }
        }
    }

    /// Adds records, all or none; those whose id is there already are left out.
    pub(super) fn insert(&mut self, rows: &[Row<'_>]) -> Result<(), DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.insert(rows),
            Self::Postgres(postgres) => postgres.insert(rows),
        }
    }

    /// Removes up to `most` of the records that began before that time. How many there were.
    pub(super) fn remove(&mut self, before: Timestamp, most: u32) -> Result<u64, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.remove(before, most),
            Self::Postgres(postgres) => postgres.remove(before, most),
        }
    }

    /// When the newest record began.
    pub(super) fn newest(&mut self) -> Result<Option<Timestamp>, DatabaseError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.newest(),
            Self::Postgres(postgres) => postgres.newest(),
        }
    }

    /// The newest `most` of the records that fit, with ids before that one.
    pub(super) fn page(
        &mut self,
        query: &Query,
        before: Option<Uuid>,
        most: usize,
    ) -> Result<Vec<Row<'static>>, DatabaseError> {
        let search = search::Search::new(query, before, most);
        let texts = match self {
            Self::Sqlite(sqlite) => sqlite.search(&search)?,
            Self::Postgres(postgres) => postgres.search(&search)?,
        };
        let row = |text: String| serde_json::from_str(&text);
        let rows: Result<_, _> = texts.into_iter().map(row).collect();
        rows.map_err(|error| DatabaseError::Away(format!("what it holds cannot be read: {error}")))
    }
}

/// What people are told of where it is; never a password.
pub(super) fn place(url: &DatabaseUrl) -> String {
    match url {
        DatabaseUrl::Sqlite(path) => path.display().to_string(),
        DatabaseUrl::Postgres(server) => {
            let host = match server.get_hosts().first() {
                Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
                Some(tokio_postgres::config::Host::Unix(path)) => socket(path),
                None => String::new(),
            };
            let port = server.get_ports().first().copied().unwrap_or(POSTGRES_PORT);
            let name = server.get_dbname().or(server.get_user()).unwrap_or_default();
            format!("postgresql://{host}:{port}/{name}")
        }
    }
}

/// Unless another one is written.
const POSTGRES_PORT: u16 = 5432;

fn socket(directory: &Path) -> String {
    directory.display().to_string()
}
