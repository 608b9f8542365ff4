//! A daemon that logs what the kernel did with each connection, up to its end by `kill -9`.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;

use super::{SOON, expect, expect_host};
use crate::{
    client::{self, Route},
    daemon::Daemon,
    report::Report,
    wait::until,
    world,
};

pub(super) fn run(report: &mut Report) {
    let Some(daemon) = report.step("verbose-daemon-starts", || Daemon::start(&["-v"])) else {
        return;
    };
    report.step("event-names-process-and-origin", || event_names_process_and_origin(&daemon));
    report.step("own-socket-is-passed", || own_socket_is_passed(&daemon));
    report.step("direct-after-kill-9", || direct_after_kill(daemon));
}

fn event_names_process_and_origin(daemon: &Daemon) -> Result<()> {
    let answer = client::run(Route::Ipv4, world::SITE)?;
    ensure!(answer.body == world::BACKEND, "{answer:?}");
    let origin = Route::Ipv4.address();
    let process = format!(" connect process={} user=0 origin={origin} ", answer.process);
    daemon.line("the event of the connection", |line| {
        line.contains(&process) && line.ends_with(r#" outcome="redirected_v4""#)
    })?;
    Ok(())
}

/// What is relayed goes from inside the intercepted cgroup to an intercepted address.
fn own_socket_is_passed(daemon: &Daemon) -> Result<()> {
    expect_host(Route::Ipv4, world::NEIGHBOUR, world::ORIGINAL)?;
    let own = r#" outcome="own_socket""#;
    daemon.line("the event of the daemon's own connection", |line| line.ends_with(own))?;
    daemon.line("the record of the relay", |line| line.contains(r#" outcome="relayed""#))?;
    let lines = daemon.lines();
    let times = lines.iter().filter(|line| line.ends_with(own)).count();
    ensure!(times == 1, "the relay connected {times} times: a loop");
    Ok(())
}

fn direct_after_kill(daemon: Daemon) -> Result<()> {
    daemon.end(Signal::SIGKILL)?;
    until(SOON, "direct connections after kill -9", || expect(Route::Ipv4, world::ORIGINAL).ok())?;
    expect(Route::Ipv6, world::ORIGINAL)
}
