//! `guest-init`: the first process of the emulated machine.
//!
//! It brings the machine up, puts the daemon through the smoke steps and writes to the console
//! what became of each; the test outside reads it there. The same binary also runs as the clients.

mod boot;
mod cgroup;
mod client;
mod daemon;
mod report;
mod server;
mod smoke;
mod wait;
mod world;

use std::{env, process::ExitCode};

use anyhow::{Result, bail};

use report::Report;

fn main() -> ExitCode {
    if std::process::id() == 1 {
        return init();
    }
    match child(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guest-init: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The kernel panics should this ever return, which ends the machine as well.
fn init() -> ExitCode {
    let mut report = Report::default();
    if report.step("boot", boot::boot).is_some() {
        smoke::run(&mut report);
    }
    report.done();
    boot::power_off();
    ExitCode::FAILURE
}

fn child(arguments: &[String]) -> Result<()> {
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["in", cgroup, program, arguments @ ..] => cgroup::enter(cgroup, program, arguments),
        ["elsewhere", route, host] => {
            boot::leave_network()?;
            client::ask(route.parse()?, host)
        }
        ["ask", route, host] => client::ask(route.parse()?, host),
        _ => bail!("unknown arguments {words:?}"),
    }
}
