//! The traffic log of a daemon under test, read by others than dispa.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use dispa_lab::{Dispa, Lab, Record, Stopped};
use serde_json::Value;

use crate::direct;

/// Where a daemon writes its traffic log.
#[derive(Clone, Debug)]
pub struct Traffic {
    directory: PathBuf,
}

/// What became of the records of one sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accounts {
    /// All that came.
    pub observed: u64,
    /// Where they belong.
    pub written: u64,
    /// In memory.
    pub queued: u64,
    /// In the spill file.
    pub spilled: u64,
    /// Gone.
    pub dropped: u64,
}

/// Prints one column of the table, or what the file's own check says.
const READ: &str = "
import json, sqlite3, sys
base = sqlite3.connect(sys.argv[1])
for row in base.execute(sys.argv[2]):
    print(json.dumps(row[0]))
";

impl Traffic {
    /// A directory of the lab's for it, of this name.
    #[must_use]
    pub fn new(lab: &Lab, name: &str) -> Self {
        Self { directory: lab.directory().join(name) }
    }

    /// Where its files are.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.directory.join("logs")
    }

    /// Its `SQLite` database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.directory.join("data/traffic.db")
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What asks for it in a configuration, for files, for `SQLite`, or for `both`; `keys` are more
    /// keys of `[logging]`.
    #[must_use]
    pub fn sections(&self, kind: &str, keys: &str) -> String {
        format!(
            "type = {kind:?}\n{keys}\n[logging.file]\ndirectory = \"{}\"\n\
             [logging.database]\nurl = \"sqlite://{}\"\nspill_file = \"{}\"\n",
            self.files().display(),
            self.database().display(),
            self.directory.join("data/spill.jsonl").display(),
        )
    }

    /// The records in its files; each must be a whole line of JSON.
    pub fn lines(&self) -> Result<Vec<Value>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(self.files())? {
            let path = entry?.path();
            let text = fs::read_to_string(&path)?;
            ensure!(
                text.is_empty() || text.ends_with('\n'),
                "{} ends in half a line",
                path.display()
            );
            for line in text.lines() {
                let record = serde_json::from_str(line);
                records.push(record.with_context(|| format!("in {}: {line}", path.display()))?);
            }
        }
        Ok(records)
    }

    /// What `SELECT` gives in its database, a value a row.
    pub fn select(&self, what: &str) -> Result<Vec<Value>> {
        let database = self.database().display().to_string();
        let query = format!("SELECT {what} FROM traffic ORDER BY id");
        Self::read(&database, &query)
    }

    /// Has `SQLite` check the whole file.
    pub fn check_integrity(&self) -> Result<()> {
        let database = self.database().display().to_string();
        let told = Self::read(&database, "PRAGMA integrity_check")?;
        ensure!(told == ["ok"], "{told:?}");
        Ok(())
    }

    fn read(database: &str, query: &str) -> Result<Vec<Value>> {
        let text = direct("python3", &["-c", READ, database, query])?.success()?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

impl Accounts {
    /// Those that a daemon told at its end; they must balance, with nothing queued.
    pub fn at_the_end(stopped: &Stopped, sink: &str) -> Result<Self> {
        let is_it = |it: &&Record| it.message() == "traffic log" && it.text("sink") == sink;
        let record = stopped.log.iter().find(is_it).context("no accounts in the log")?;
        let count = |field| record.count(field).with_context(|| format!("no {field}"));
        let accounts = Self {
            observed: count("observed")?,
            written: count("written")?,
            queued: count("queued")?,
            spilled: count("spilled")?,
            dropped: count("dropped")?,
        };
        ensure!(accounts.queued == 0, "{accounts:?}");
        accounts.balanced()
    }

    /// Those that `dispa status` tells of a running daemon; they must balance.
    pub fn now(dispa: &Dispa, sink: &str) -> Result<Self> {
        let file = dispa.file().display().to_string();
        let told = direct(Dispa::binary()?, &["status", "--json", "-c", &file])?.success()?;
        let status: Value = serde_json::from_str(&told)?;
        let sinks = status["traffic_log"].as_array().context("no sinks")?;
        let it = sinks.iter().find(|it| it["sink"] == sink).context("no such sink")?;
        let count = |field: &str| it[field].as_u64().with_context(|| format!("no {field}"));
        let dropped = it["dropped"].as_object().context("no drops")?;
        let accounts = Self {
            observed: count("observed")?,
            written: count("written")?,
            queued: count("queued")?,
            spilled: count("spilled")?,
            dropped: dropped.values().filter_map(Value::as_u64).sum(),
        };
        accounts.balanced()
    }

    fn balanced(self) -> Result<Self> {
        let Self { observed, written, queued, spilled, dropped } = self;
        ensure!(observed == written + queued + spilled + dropped, "{self:?}");
        Ok(self)
    }
}
