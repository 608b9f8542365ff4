//! Every option of the Dispa manual does something, and so do its command line, its environment, its
//! signals and its exit codes. What has no test here has one elsewhere:
//!
//! | option | test |
//! |---|---|
//! | `server.bind_address` | `the_nearest_word_on_the_address_counts` |
//! | `server.workers` | `manual::each_of_its_workers_is_a_thread` |
//! | `server.keep_alive_timeout` | `timeouts::heads::a_connection_that_asks_nothing` |
//! | `server.request_timeout` | `timeouts::responses::a_request_not_answered_in_time` |
//! | `domains.*` | `explicit::wildcards_exclusions_and_spellings_of_a_host`; `wildcard_support` in `broken/wildcards-are-off.toml` |
//! | `targets.targets`: `name`, `url`, `weight` | `manual::its_weights_are_kept_and_what_it_excludes_is_not_served` |
//! | `targets.targets`: `timeout` | `timeouts::responses::a_target_not_answering_in_its_own_time` |
//! | `targets.load_balancing.sticky_sessions` | `pools::a_cookie_keeps_a_client_with_its_backend_until_that_is_gone` |
//! | `targets.health_check`: `enabled`, `interval` | `probes_come_at_their_interval_or_not_at_all` |
//! | `targets.health_check.timeout` | `failover::a_probe_that_is_not_answered_ends_with_its_connection` |
//! | `targets.health_check`: the thresholds | `pool_phases` |
//! | `targets.load_balancing.type` | `balancing`, `pools`; the order of each in `dispa-user/src/balance/tests.rs` |
//! | `logging.enabled`, `logging.type` | `options_log::it_is_written_where_it_is_asked_for` |
//! | `logging.retention_days` | `options_log::what_is_due_is_removed`; of databases `thirty_days_are_kept_while_records_come_in` in `dispa-user/src/sink` |
//! | `logging.database.url`, `logging.file.directory` | `manual::its_ports_answer_and_its_log_is_in_files_and_database` |
//! | `logging.database.max_connections` | `options_log::with_one_connection_nobody_can_search` |
//! | `logging.database.connection_timeout` | `options_log::a_server_that_says_nothing_is_waited_for_as_long_as_that` |
//! | `logging.file`: `max_file_size`, `rotation` | `options_log::a_file_is_turned_at_its_size_or_not_at_all` |
//! | `monitoring`: `enabled` and both ports | `monitoring_is_where_it_is_asked_for_or_nowhere` |
//! | SIGUSR1 | `reload::signals_and_the_command_have_the_file_read_again` |

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use dispa_e2e::{Scrape, Site, Stage, http1::Client};
use dispa_lab::{Cgroup, Config, Dispa, HttpServer, Lab, Process, Record, run};
use nix::sys::signal::Signal;

const SOON: Duration = Duration::from_secs(30);

/// What a debug message may take to be logged.
const LOGGED: Duration = Duration::from_secs(2);

/// A door that no configuration here names.
fn door(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Starts the daemon by this command, and waits until it is ready.
fn start(command: &mut Command) -> Result<Process> {
    let daemon = Process::start(command)?;
    let is_ready = |text: &str| Record::parse(text).is_some_and(|it| it.message() == "ready");
    daemon.wait_for_line(SOON, |line| is_ready(&line.text))?;
    Ok(daemon)
}

/// The command that starts a daemon with this configuration.
fn command(lab: &Lab, cgroup: &Cgroup, config: &Config) -> Result<Command> {
    Dispa::command(&Dispa::binary()?, lab, cgroup, config)
}

#[test]
fn the_nearest_word_on_the_address_counts() -> Result<()> {
    Lab::run(|lab| {
        let cgroup = Cgroup::new()?;
        let file = Dispa::write(lab, &Stage::config().bind(door(8100)), cgroup.path())?;
        let every = [("DISPA_BIND", "127.0.0.1:8101")];
        for (environment, words, port) in [
            (&[][..], &[][..], 8100),
            (&every, &[], 8101),
            (&every, &["-b", "127.0.0.1:8102"], 8102),
            (&[], &["--bind", "127.0.0.1:8103"], 8103),
        ] {
            let mut command = cgroup.command(Dispa::binary()?);
            command.args(words).env("DISPA_CONFIG", &file).envs(environment.iter().copied());
            let daemon = start(&mut command)?;
            let answer = Client::connect(door(port))?.get("nobody.test", "/")?;
            ensure!(answer.status == 404, "{port}: {answer:?}");
            daemon.signal(Signal::SIGTERM)?;
            daemon.finish(SOON)?.success()?;
        }
        Ok(())
    })
}

#[test]
fn more_is_logged_where_that_is_asked_for() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        for (word, level, is_loud) in
            [(None, None, false), (Some("-v"), None, true), (None, Some("debug"), true)]
        {
            let mut command = command(lab, &site.cgroup, &Site::config())?;
            command.args(word).envs(level.map(|level| ("RUST_LOG", level)));
            let daemon = start(&mut command)?;
            // The first request for a site, which an exchange and a connection to a target follow.
            site.curl(&["http://example.com/"])?;
            let _ = daemon.wait_for_line(LOGGED, |line| line.text.contains("\"DEBUG\""));
            // Either way of asking to stop is followed.
            daemon.signal(if is_loud { Signal::SIGINT } else { Signal::SIGTERM })?;
            let finished = daemon.finish(SOON)?;
            finished.success()?;
            let told = finished.stderr();
            ensure!(told.contains("\"DEBUG\"") == is_loud, "{word:?} {level:?}: {told}");
        }
        Ok(())
    })
}

#[test]
fn a_start_that_fails_says_why_by_its_exit_code() -> Result<()> {
    Lab::run(|lab| {
        let cgroup = Cgroup::new()?;
        let _taken = TcpListener::bind(door(8100))?;
        let no_database = "[logging.database]\nurl = \"sqlite:///proc/none/traffic.db\"\n";
        for (config, code) in [
            (Stage::config().sections("[nonsense]"), 1),
            (Stage::config().bind(door(8100)), 2),
            (Stage::config().sections(&format!("type = \"database\"\n{no_database}")), 3),
        ] {
            let finished = run(&mut command(lab, &cgroup, &config)?, SOON)?;
            ensure!(finished.code() == Some(code), "not {code}: {finished:?}");
            ensure!(finished.stdout().is_empty(), "{finished:?}");
        }
        Ok(())
    })
}

#[test]
fn probes_come_at_their_interval_or_not_at_all() -> Result<()> {
    Lab::run(|lab| {
        let cgroup = Cgroup::new()?;
        let backend = HttpServer::start("backend", &[Stage::BACKEND])?;
        let after = |keys: &str| -> Result<u64> {
            let config = Stage::config().sections(&format!("[targets.health_check]\n{keys}"));
            let daemon = start(&mut command(lab, &cgroup, &config)?)?;
            let before = backend.accepted();
            // As long as it takes for three intervals to pass.
            thread::sleep(Duration::from_millis(3_500));
            daemon.signal(Signal::SIGTERM)?;
            daemon.finish(SOON)?.success()?;
            Ok(backend.accepted() - before)
        };
        assert_eq!(after("enabled = false")?, 0);
        let each_second = after("interval = 1\ntimeout = 1")?;
        ensure!((2..=5).contains(&each_second), "{each_second}");
        let rarely = after("interval = 60")?;
        ensure!(rarely <= 1, "{rarely}");
        Ok(())
    })
}

#[test]
fn monitoring_is_where_it_is_asked_for_or_nowhere() -> Result<()> {
    Lab::run(|lab| {
        let cgroup = Cgroup::new()?;
        let usual = [Scrape::METRICS, Scrape::HEALTH];
        for (keys, others) in [
            ("enabled = false", &[][..]),
            ("metrics_port = 9100\nhealth_check_port = 9101", &[9100, 9101]),
        ] {
            let config = Stage::config().monitoring(keys);
            let daemon = start(&mut command(lab, &cgroup, &config)?)?;
            for address in usual {
                ensure!(TcpStream::connect(address).is_err(), "{keys}: {address}");
            }
            for (port, path) in others.iter().zip(["/metrics", "/health"]) {
                let answer = Client::connect(door(*port))?.get("localhost", path)?;
                ensure!(matches!(answer.status, 200 | 503), "{path}: {answer:?}");
            }
            daemon.signal(Signal::SIGTERM)?;
            daemon.finish(SOON)?.success()?;
        }
        Ok(())
    })
}
