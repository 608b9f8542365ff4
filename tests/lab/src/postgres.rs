//! A `PostgreSQL` server of the lab's own.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User},
};

use crate::{
    lab::Lab,
    process::{Process, run},
};

/// Making a cluster takes seconds, on a machine busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where Debian has the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Who runs it: it refuses to be root's. Debian's package makes the user.
const USER: &str = "postgres";

/// A server on `127.0.0.1:5432`, with data in the lab's directory.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    data: PathBuf,
    server: Option<Process>,
}

impl Postgres {
    /// Its only database, for a user who may do everything.
    pub const URL: &'static str = "postgresql://dispa@127.0.0.1:5432/postgres";

    /// Makes a cluster and starts its server.
    pub fn start(lab: &Lab) -> Result<Self> {
        let versions = fs::read_dir(VERSIONS).context("there is no PostgreSQL")?;
        let newest = versions.filter_map(|it| Some(it.ok()?.path())).max();
        let programs = newest.context("there is no PostgreSQL")?.join("bin");
        let data = lab.directory().join("postgres");
        fs::create_dir(&data)?;
        let user = User::from_name(USER)?.context("PostgreSQL's user is missing")?;
        chown(&data, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        let mut postgres = Self { programs, data, server: None };
        let mut making = postgres.command("initdb");
        making.args(["--auth=trust", "--username=dispa", "--locale=C", "--encoding=UTF8"]);
        run(making.args(["--no-sync", "--pgdata"]).arg(&postgres.data), PATIENCE)?.success()?;
        postgres.resume()?;
        Ok(postgres)
    }

    /// Starts the server again, and waits until it answers.
    pub fn resume(&mut self) -> Result<()> {
        let mut command = self.command("postgres");
        command.arg("-D").arg(&self.data).arg("-k").arg(&self.data);
        command.args(["-h", "127.0.0.1", "-p", "5432"]);
        let server = Process::start(&mut command)?;
        server.wait_for_line(PATIENCE, |line| {
            line.text.contains("database system is ready to accept connections")
        })?;
        self.server = Some(server);
        Ok(())
    }

    /// Stops the server at once: whoever is connected is cut off, and nobody can connect.
    pub fn stop(&mut self) -> Result<()> {
        let Some(server) = self.server.take() else { return Ok(()) };
        // "Fast shutdown" (PostgreSQL's manual, section 19.5).
        server.signal(Signal::SIGINT)?;
        server.finish(PATIENCE).map(drop)
    }

    /// Sends a signal to all of the server's processes: with SIGSTOP it hangs, with SIGCONT it goes on.
    pub fn signal_all(&self, signal: Signal) -> Result<()> {
        let server = self.server.as_ref().context("the server does not run")?;
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.id()))?;
        let children =
            children.split_whitespace().map(str::parse).collect::<Result<Vec<_>, _>>()?;
        for process in children {
            // One that has just ended hangs no more.
            let _ = kill(Pid::from_raw(process), signal);
        }
        server.signal(signal)
    }

    /// What `psql` prints for a query: a line for each row.
    pub fn query(&self, query: &str) -> Result<String> {
        let mut command = self.command("psql");
        command.args(["--no-psqlrc", "--tuples-only", "--no-align", "-c", query, Self::URL]);
        run(&mut command, PATIENCE)?.success()
    }

    /// One of its programs, as its user.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--"]);
        command.arg(self.programs.join(program)).current_dir(Path::new("/"));
        command
    }
}

impl Drop for Postgres {
    /// In order, so that it leaves nothing in shared memory.
    fn drop(&mut self) {
        let stopped = self.stop();
        assert!(stopped.is_ok() || std::thread::panicking(), "{stopped:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::Postgres;
    use crate::lab::Lab;

    #[test]
    fn it_keeps_what_it_was_told_over_a_stop() -> anyhow::Result<()> {
        Lab::run(|lab| {
            let mut postgres = Postgres::start(lab)?;
            postgres.query("CREATE TABLE a (b INTEGER); INSERT INTO a VALUES (7)")?;
            postgres.stop()?;
            assert!(postgres.query("SELECT b FROM a").is_err());
            postgres.resume()?;
            assert_eq!(postgres.query("SELECT b FROM a")?, "7");
            Ok(())
        })
    }
}
