//! `PostgreSQL`, over a connection of its own on whatever thread asks.

use std::{future::Future, time::Duration};

use jiff::Timestamp;
use serde::Serialize as _;
use serde_json::ser::{CharEscape, Formatter};
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};
use tokio_postgres::{
    Client, Config, NoTls,
    error::{Error, SqlState},
    types::ToSql,
};

use super::{
    DatabaseError, Purpose,
    schema::{Dialect, VERSION, VERSION_TABLE},
    search::{Search, Value},
};
use crate::exchange::Row;

const DIALECT: Dialect = Dialect { uuid: "UUID", moment: "TIMESTAMPTZ", json: "JSONB", later: &[] };

/// So that of several daemons that start at once one makes the table. Any number will do: these are the
/// bytes of "dispa".
const LOCK: &str = "SELECT pg_advisory_xact_lock(431433314401)";

/// The server takes the rows apart itself: a field of the object goes to the column of its name.
const INSERT: &str = "INSERT INTO traffic SELECT * FROM
    jsonb_populate_recordset(NULL::traffic, CAST($1::text AS jsonb)) ON CONFLICT (id) DO NOTHING";

const REMOVE: &str = "DELETE FROM traffic WHERE id IN
    (SELECT id FROM traffic WHERE timestamp < $1 ORDER BY timestamp LIMIT $2)";

/// A connection to a server.
#[derive(Debug)]
pub(in crate::sink) struct Postgres {
    /// Drives the connection whenever something is asked of it.
    runtime: Runtime,
    client: Client,
    patience: Duration,
}

impl Postgres {
    pub(super) fn open(
        server: &Config,
        purpose: Purpose,
        patience: Duration,
    ) -> Result<Self, DatabaseError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| DatabaseError::Away(error.to_string()))?;
        let mut server = server.clone();
        if server.get_application_name().is_none() {
            server.application_name("dispa");
        }
        let (client, connection) = answer(&runtime, patience, server.connect(NoTls))?;
        // How it ends is heard of by whoever asks next.
        runtime.spawn(async { drop(connection.await) });
        let patience = purpose.patience(patience);
        let mut postgres = Self { runtime, client, patience };
        if purpose == Purpose::Write {
            postgres.prepare()?;
        }
        Ok(postgres)
    }

    fn prepare(&mut self) -> Result<(), DatabaseError> {
        let Self { runtime, client, patience } = self;
        let migrating = async {
            let transaction = client.transaction().await?;
            transaction.execute(LOCK, &[]).await?;
            transaction.batch_execute(VERSION_TABLE).await?;
            let version = transaction.query_one(VERSION, &[]).await?.try_get(0)?;
            for migration in DIALECT.migrations(version)? {
                transaction.batch_execute(&migration).await?;
            }
            Ok(transaction.commit().await?)
        };
        match runtime.block_on(async { timeout(*patience, migrating).await }) {
            Ok(done) => done,
            Err(_) => Err(silent(*patience)),
        }
    }

    pub(super) fn insert(&self, rows: &[Row<'_>]) -> Result<(), DatabaseError> {
        let mut text = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, NoNul);
        rows.serialize(&mut serializer)
            .map_err(|error| DatabaseError::Refused(error.to_string()))?;
        let text = String::from_utf8(text).map_err(|it| DatabaseError::Refused(it.to_string()))?;
        self.ask(self.client.execute(INSERT, &[&text])).map(drop)
    }

    pub(super) fn remove(&self, before: Timestamp, most: u32) -> Result<u64, DatabaseError> {
        self.ask(self.client.execute(REMOVE, &[&before, &i64::from(most)]))
    }

    /// When the newest record began.
    pub(super) fn newest(&self) -> Result<Option<Timestamp>, DatabaseError> {
        let text = "SELECT timestamp FROM traffic ORDER BY id DESC LIMIT 1";
        let newest = self.ask(self.client.query_opt(text, &[]))?;
        Ok(newest.map(|row| row.try_get(0)).transpose()?)
    }

    pub(super) fn search(&self, search: &Search) -> Result<Vec<String>, DatabaseError> {
        let text = format!("SELECT CAST(to_jsonb(traffic) AS text) FROM traffic {}", search.tail);
        let values: Vec<&(dyn ToSql + Sync)> = search.values.iter().map(Value::as_sql).collect();
        let found = self.ask(self.client.query(&text, &values))?;
        Ok(found.iter().map(|row| row.try_get(0)).collect::<Result<_, Error>>()?)
    }

    fn ask<T>(&self, question: impl Future<Output = Result<T, Error>>) -> Result<T, DatabaseError> {
        answer(&self.runtime, self.patience, question)
    }
}

fn answer<T>(
    runtime: &Runtime,
    patience: Duration,
    question: impl Future<Output = Result<T, Error>>,
) -> Result<T, DatabaseError> {
    match runtime.block_on(async { timeout(patience, question).await }) {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(silent(patience)),
    }
}

fn silent(patience: Duration) -> DatabaseError {
    DatabaseError::Away(format!("it does not answer within {} s", patience.as_secs()))
}

impl Value {
    fn as_sql(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Id(id) => id,
            Self::Moment(timestamp) => timestamp,
            Self::Text(text) => text,
            Self::Integer(number) => number,
            Self::Real(number) => number,
        }
    }
}

impl From<Error> for DatabaseError {
    fn from(error: Error) -> Self {
        // Data exceptions, constraints, limits (PostgreSQL's manual, appendix A).
        let of_the_record =
            |code: &SqlState| ["22", "23", "54"].iter().any(|class| code.code().starts_with(class));
        let text = match (error.as_db_error(), std::error::Error::source(&error)) {
            (Some(told), _) => told.message().to_owned(),
            (None, Some(source)) => format!("{error}: {source}"),
            (None, None) => error.to_string(),
        };
        match error.code() {
            Some(code) if of_the_record(code) => Self::Refused(text),
            _ => Self::Away(text),
        }
    }
}

/// JSON without NUL, which no text of `PostgreSQL` may have: what cannot be told is told to be so.
#[derive(Clone, Copy, Debug)]
struct NoNul;

impl Formatter for NoNul {
    fn write_char_escape<W: std::io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> std::io::Result<()> {
        match escape {
            CharEscape::AsciiControl(0) => writer.write_all("\u{fffd}".as_bytes()),
            escape => serde_json::ser::CompactFormatter.write_char_escape(writer, escape),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize as _;

    use super::NoNul;

    #[test]
    fn json_without_nul_says_the_same_otherwise() {
        let mut text = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, NoNul);
        ["a\0b", "\\u0000", "\n\"\u{1}"].serialize(&mut serializer).expect("serialises");
        let read: Vec<String> = serde_json::from_slice(&text).expect("reads");
        assert_eq!(read, ["a\u{fffd}b", "\\u0000", "\n\"\u{1}"]);
    }
}
