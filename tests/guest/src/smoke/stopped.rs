//! A daemon as it is shipped, after one that was killed: all ways to connect, a freeze, and its
//! end in good order.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::{SOON, expect, expect_host, has_route};
use crate::{
    client::{self, Route},
    daemon::{self, Daemon},
    report::Report,
    server,
    wait::until,
    world,
};

/// A little more than the kernel side waits for a heartbeat. A connection begun before has been
/// redirected to a daemon that does not answer.
const FROZEN: Duration = Duration::from_millis(1500);

/// Every program, as the kernel names it.
const PROGRAMS: [&str; 4] = ["dispa_connect4", "dispa_connect6", "dispa_peer4", "dispa_peer6"];

/// What the kernel side has counted at the end: as many as the steps below have made.
const COUNTS: [(&str, u64); 7] = [
    // ipv4, mapped, the neighbour over IPv4, and once thawed.
    ("redirected_v4", 4),
    // ipv6, only-v6, and the neighbour over IPv6.
    ("redirected_v6", 3),
    // The neighbour twice.
    ("own_socket", 2),
    ("paused", 0),
    ("other_netns", 1),
    ("bound_device", 1),
    ("no_slot", 0),
];

pub(super) fn run(report: &mut Report) {
    let Some(daemon) = report.step("daemon-starts-after-kill-9", || Daemon::start(&[])) else {
        return;
    };
    report.step("every-program-is-attached", every_program_is_attached);
    for (step, route) in [
        ("ipv4", Route::Ipv4),
        ("ipv6", Route::Ipv6),
        ("mapped", Route::Mapped),
        ("only-v6", Route::OnlyV6),
    ] {
        report.step(step, || expect(route, world::BACKEND));
    }
    report.step("neighbour-on-the-same-address", neighbour_on_the_same_address);
    report.step("explicit-door", explicit_door);
    report.step("bound-device-is-passed", || expect(Route::BoundDevice, world::ORIGINAL));
    report.step("other-network-namespace-is-passed", other_network_namespace_is_passed);
    report.step("direct-while-frozen", || direct_while_frozen(&daemon));
    report.step("intercepted-once-thawed", || intercepted_once_thawed(&daemon));
    let Some(log) = report.step("sigterm-exits-0", || sigterm_exits_0(daemon)) else { return };
    report.step("counters-are-what-the-steps-did", || counters(&log));
    report.step("direct-after-sigterm", || expect(Route::Ipv4, world::ORIGINAL));
    report.step("nothing-is-left", nothing_is_left);
}

fn every_program_is_attached() -> Result<()> {
    let output = daemon::doctor()?;
    let text = String::from_utf8_lossy(&output.stdout);
    for program in PROGRAMS {
        ensure!(text.contains(program), "{program} is not among the attached:\n{text}");
    }
    ensure!(has_route()?, "the daemon's IPv6 route is not there");
    Ok(())
}

fn neighbour_on_the_same_address() -> Result<()> {
    expect_host(Route::Ipv4, world::NEIGHBOUR, world::ORIGINAL)?;
    expect_host(Route::Ipv6, world::NEIGHBOUR, world::ORIGINAL)
}

fn explicit_door() -> Result<()> {
    expect(Route::Door, world::BACKEND)?;
    let refused = client::run(Route::Door, "unknown.example")?;
    ensure!(refused.status == 404, "{refused:?}");
    Ok(())
}

/// Loopback is another one there, where nobody listens on the slots.
fn other_network_namespace_is_passed() -> Result<()> {
    let answer = client::run_elsewhere(Route::Ipv4, world::SITE)?;
    ensure!(answer.body == world::ORIGINAL, "{answer:?}");
    Ok(())
}

fn direct_while_frozen(daemon: &Daemon) -> Result<()> {
    let frozen = Instant::now();
    daemon.signal(Signal::SIGSTOP)?;
    thread::sleep(FROZEN);
    expect(Route::Ipv4, world::ORIGINAL)?;
    ensure!(frozen.elapsed() < SOON, "direct only {:?} after SIGSTOP", frozen.elapsed());
    Ok(())
}

/// It has been frozen for longer than the limit, so clients go direct until its first stamp.
fn intercepted_once_thawed(daemon: &Daemon) -> Result<()> {
    daemon.signal(Signal::SIGCONT)?;
    until(SOON, "interception after SIGCONT", || expect(Route::Ipv4, world::BACKEND).ok())
}

fn sigterm_exits_0(daemon: Daemon) -> Result<Vec<String>> {
    let (status, log) = daemon.end(Signal::SIGTERM)?;
    ensure!(status.success(), "{status}");
    Ok(log)
}

fn counters(log: &[String]) -> Result<()> {
    let last = log.last().context("the log is empty")?;
    ensure!(last.contains(" stopped "), "the last line is {last:?}");
    for (name, expected) in COUNTS {
        ensure!(count(last, name) == Some(expected), "not {name}={expected} in {last:?}");
    }
    // Once frozen, and until the first stamp after it.
    ensure!(count(last, "stale_heartbeat") >= Some(1), "no stale_heartbeat in {last:?}");
    backend_counts(log)
}

/// The backend answers always the same and closes first: what came in is so many answers, to the byte.
fn backend_counts(log: &[String]) -> Result<()> {
    let line = log.iter().find(|line| line.contains(" backend ")).context("no backend's counts")?;
    let told = |name| count(line, name).with_context(|| format!("no {name} in {line:?}"));
    let by_backend = |line: &&String| line.contains(r#" target="backend" status=200"#);
    let answered = log.iter().filter(by_backend).count();
    let answer = server::response(world::BACKEND).len();
    ensure!(told("bytes_in")? == u64::try_from(answered * answer)?, "{answered} times in {line:?}");
    ensure!(told("opened")? == told("closed")? && told("failed")? == 0, "{line:?}");
    ensure!(told("opened")? >= u64::try_from(answered)?, "{answered} times in {line:?}");
    Ok(())
}

/// The number in ` name=number` of a log line.
fn count(line: &str, name: &str) -> Option<u64> {
    let fields = line.split(' ').filter_map(|field| field.split_once('='));
    fields.into_iter().find(|(field, _)| *field == name)?.1.parse().ok()
}

fn nothing_is_left() -> Result<()> {
    ensure!(!has_route()?, "the daemon's IPv6 route is still there");
    let output = daemon::doctor()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let left = PROGRAMS.iter().find(|program| text.contains(**program));
    ensure!(left.is_none(), "still attached:\n{text}");
    Ok(())
}
