//! Killed, hung or stopped, dispa never leaves a program without its network.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    sync::{Mutex, PoisonError, mpsc},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{Answer, Probe, Site, Traces, now_ns};
use dispa_lab::{Config, Connection, Lab, Process, TcpServer, until};
use nix::sys::signal::Signal;

const SOON: Duration = Duration::from_secs(30);

/// The bound a user can rely on; the figures printed are far below it on an idle machine.
const LONGEST_GAP: Duration = Duration::from_secs(2);

/// Requests take milliseconds here; far less than what the daemon gives long ones to finish.
const LONGEST_STOP_NS: u64 = 5_000_000_000;

/// A request is stamped a moment before it connects, and may lose the processor in between: one
/// stamped early can connect late, and so be direct before others that are still redirected.
const SETTLING_NS: u64 = 100_000_000;

/// A probe of the site, begun inside its cgroup every `pause_us` microseconds.
fn probe(site: &Site<'_>, pause_us: &str) -> Result<Probe> {
    let address = SocketAddr::from((Site::V4, 80)).to_string();
    let mut command = site.cgroup.command(env!("CARGO_BIN_EXE_probe"));
    Probe::start(command.args([&address, Site::NAME, pause_us]))
}

fn gap(from_ns: u64, answer: &Answer) -> Duration {
    Duration::from_nanos(answer.begun_ns - from_ns)
}

#[test]
fn after_kill_9_under_load_connections_go_direct() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let before = Traces::of(&site.cgroup)?;
        let dispa = site.dispa(&Site::config_of_one())?;
        let probes = (0..4).map(|_| probe(&site, "1500")).collect::<Result<Vec<_>>>()?;
        for probe in &probes {
            probe.first("one", 0)?;
        }
        let killed_ns = now_ns()?;
        dispa.kill()?;
        for probe in probes {
            let direct = probe.first("original", killed_ns)?;
            let gap = gap(killed_ns, &direct);
            println!("direct {:.1} ms after kill -9", gap.as_secs_f64() * 1000.0);
            ensure!(gap < LONGEST_GAP, "direct only {gap:?} after kill -9");
            // Soon after that, all of them.
            let settled_ns = direct.begun_ns + SETTLING_NS;
            probe.first("original", settled_ns)?;
            assert_eq!(probe.end()?.who(settled_ns..u64::MAX), ["original"]);
        }
        assert_eq!(Traces::of(&site.cgroup)?.programs, "");
        // What a killed one leaves behind is not in the way of the next, which clears it up.
        let next = site.dispa(&Site::config_of_one())?;
        assert_eq!(site.curl(&["http://four.example.com/"])?, "one");
        assert_eq!(site.curl(&["http://six.example.com/"])?, "one");
        next.stop()?;
        assert_eq!(Traces::of(&site.cgroup)?, before);
        Ok(())
    })
}

#[test]
fn while_stopped_by_a_signal_connections_go_direct_and_afterwards_not() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&Site::config_of_one())?;
        let probe = probe(&site, "10000")?;
        probe.first("one", 0)?;

        let frozen_ns = now_ns()?;
        dispa.signal(Signal::SIGSTOP)?;
        let direct = probe.first("original", frozen_ns)?;
        let gap_frozen = gap(frozen_ns, &direct);
        probe.first("original", direct.begun_ns + 300_000_000)?;
        let thawed_ns = now_ns()?;
        dispa.signal(Signal::SIGCONT)?;
        let back = probe.first("one", thawed_ns)?;
        let gap_thawed = gap(thawed_ns, &back);
        println!("direct {gap_frozen:?} after SIGSTOP, intercepted {gap_thawed:?} after SIGCONT");
        ensure!(gap_frozen < LONGEST_GAP && gap_thawed < LONGEST_GAP);
        let settled = direct.begun_ns + SETTLING_NS..thawed_ns - SETTLING_NS;
        assert_eq!(probe.end()?.who(settled), ["original"]);

        let stopped = dispa.stop()?.summary;
        assert!(stopped.count("stale_heartbeat") > Some(0), "{stopped:?}");
        Ok(())
    })
}

#[test]
fn starting_and_stopping_under_load_loses_no_connection() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let probes = (0..4).map(|_| probe(&site, "2000")).collect::<Result<Vec<_>>>()?;
        for _ in 0..5 {
            let dispa = site.dispa(&Site::config_of_one())?;
            let started_ns = now_ns()?;
            probes.iter().try_for_each(|probe| probe.first("one", started_ns).map(drop))?;
            let asked_ns = now_ns()?;
            dispa.stop()?;
            let stopped_ns = now_ns()?;
            ensure!(stopped_ns - asked_ns < LONGEST_STOP_NS, "it waited with nothing to wait for");
            probes.iter().try_for_each(|probe| probe.first("original", stopped_ns).map(drop))?;
        }
        for probe in probes {
            assert_eq!(probe.end()?.who(0..u64::MAX), ["one", "original"]);
        }
        Ok(())
    })
}

/// Answers a request when it is told to, after having said that it is there.
fn slow_backend(
    connection: &Connection,
    arrived: &mpsc::Sender<()>,
    go_on: &Mutex<mpsc::Receiver<()>>,
) -> io::Result<()> {
    let mut lines = BufReader::new(&*connection.stream).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    arrived.send(()).map_err(io::Error::other)?;
    let go_on = go_on.lock().unwrap_or_else(PoisonError::into_inner);
    go_on.recv_timeout(SOON).map_err(io::Error::other)?;
    (&*connection.stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nslow\n")
}

#[test]
fn asked_to_stop_it_finishes_what_is_under_way_and_takes_nothing_new() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let before = Traces::of(&site.cgroup)?;
        let address: SocketAddr = "127.0.0.1:3999".parse()?;
        let ((arrived, has_arrived), (may_go_on, go_on)) = (mpsc::channel(), mpsc::channel());
        let go_on = Mutex::new(go_on);
        let _backend = TcpServer::start(&[address], move |connection| {
            slow_backend(connection, &arrived, &go_on)
        })?;
        let dispa = site.dispa(&Config::new(&[Site::NAME]).target("slow", address))?;

        let url = "http://example.com/";
        let client = Process::start(site.cgroup.command("curl").args(["-sS", url]))?;
        has_arrived.recv_timeout(SOON).context("the request did not reach the backend")?;
        dispa.signal(Signal::SIGTERM)?;
        until(SOON, "a direct connection", || {
            site.curl(&[url]).ok().filter(|body| body == "original")
        })?;
        may_go_on.send(())?;
        assert_eq!(client.finish(SOON)?.success()?, "slow");

        let stopped = dispa.stop()?;
        let exchanges = stopped.log.iter().filter(|record| record.message() == "exchange");
        let outcomes: Vec<_> = exchanges.map(|record| record.text("outcome")).collect();
        assert_eq!(outcomes, ["ok"]);
        assert_eq!(Traces::of(&site.cgroup)?, before);
        Ok(())
    })
}
