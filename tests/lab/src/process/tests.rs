//! Outputs, deadlines and signals of a child.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Result;
use nix::sys::signal::Signal;

use super::{Process, Stream, run};

const SOON: Duration = Duration::from_secs(10);

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn both_outputs_and_the_exit_code_are_kept() -> Result<()> {
    let finished = run(&mut shell("echo one; echo two >&2; printf three; exit 3"), SOON)?;
    assert_eq!(finished.stdout(), "one\nthree");
    assert_eq!(finished.stderr(), "two");
    assert_eq!(finished.code(), Some(3));
    assert_eq!(finished.failure(3)?, "one\nthree");
    let error = finished.success().err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("err: two"), "{error}");
    Ok(())
}

#[test]
fn a_line_is_waited_for_and_past_lines_count() -> Result<()> {
    let mut process = Process::start(&mut shell("echo first; read word; echo got $word >&2"))?;
    process.wait_for_line(SOON, |line| line.text == "first")?;
    process.write("it\n")?;
    let line = process.wait_for_line(SOON, |line| line.text.starts_with("got"))?;
    assert_eq!((line.stream, line.text.as_str()), (Stream::Stderr, "got it"));
    process.wait_for_line(SOON, |line| line.text == "first").map(drop)
}

#[test]
fn waiting_ends_when_no_line_can_come_any_more() -> Result<()> {
    let begun = Instant::now();
    let process = Process::start(&mut shell("echo other"))?;
    let error = process.wait_for_line(SOON, |line| line.text == "wanted").err();
    assert!(error.is_some_and(|error| error.to_string().contains("out: other")));
    assert!(begun.elapsed() < SOON);
    Ok(())
}

#[test]
fn a_process_that_overstays_is_killed() -> Result<()> {
    let process = Process::start(Command::new("sleep").arg("60"))?;
    let id = process.id();
    assert!(process.finish(Duration::from_millis(50)).is_err());
    assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    Ok(())
}

#[test]
fn a_signal_reaches_it() -> Result<()> {
    let process = Process::start(Command::new("sleep").arg("60"))?;
    process.signal(Signal::SIGTERM)?;
    let finished = process.finish(SOON)?;
    assert_eq!((finished.code(), finished.signal()), (None, Some(15)));
    Ok(())
}
