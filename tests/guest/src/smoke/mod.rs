//! The smoke steps, in order: what must hold on this kernel.

mod killed;
mod stopped;

use std::{fs, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};

use crate::{
    client::{self, Route},
    daemon,
    report::Report,
    world,
};

/// The bound a user can rely on for a change of the daemon's state to show: the kernel side waits
/// 1 s for a heartbeat.
const SOON: Duration = Duration::from_millis(2500);

/// How the addresses of the daemon's route (`fd64:6973:7061::/48`) begin in `/proc`.
const ROUTE: &str = "fd6469737061";

/// All of them. A step that cannot be tried is missing from the report, which the test notices.
pub(crate) fn run(report: &mut Report) {
    report.step("doctor-accepts-the-host", doctor_accepts_the_host);
    report.step("direct-without-a-daemon", || expect(Route::Ipv4, world::ORIGINAL));
    killed::run(report);
    stopped::run(report);
    report.step("exec-serves-its-command", exec_serves_its_command);
}

fn doctor_accepts_the_host() -> Result<()> {
    let output = daemon::doctor()?;
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    ensure!(output.status.success(), "doctor: {}", output.status);
    ensure!(has_line(&text, &["ok", "programs"]), "doctor says nothing good of the programs");
    Ok(())
}

fn exec_serves_its_command() -> Result<()> {
    let mut command = Command::new(world::DISPA);
    // Its child is in a cgroup made for it, where it must stay.
    command.args(["exec", "-c", world::CONFIG, "--", "/init"]);
    let answer = client::answer(client::arguments(&mut command, Route::Ipv4, world::SITE))?;
    ensure!(answer.body == world::BACKEND, "{answer:?}");
    Ok(())
}

/// Whether a line of the text begins with these words.
fn has_line(text: &str, words: &[&str]) -> bool {
    text.lines().any(|line| line.split_whitespace().take(words.len()).eq(words.iter().copied()))
}

/// Asks for the site; `who` must answer, and seem to be where the client went.
fn expect(route: Route, who: &str) -> Result<()> {
    expect_host(route, world::SITE, who)
}

fn expect_host(route: Route, host: &str, who: &str) -> Result<()> {
    let answer = client::run(route, host)?;
    ensure!(answer.body == who, "{who} did not answer: {answer:?}");
    ensure!(answer.peer == route.address(), "the peer is not the one asked for: {answer:?}");
    Ok(())
}

/// Whether the daemon's IPv6 route is there, in whichever table.
fn has_route() -> Result<bool> {
    let routes = fs::read_to_string("/proc/net/ipv6_route").context("no IPv6 routes")?;
    Ok(routes.lines().any(|line| line.starts_with(ROUTE)))
}
