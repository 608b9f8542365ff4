//! The released daemon, with the kernel object embedded in it, works on Debian 12's own kernel.
//!
//! The kernel boots in an emulated machine, without hardware help, with a file system made for it.
//! A machine that lacks something for this fails the test.

mod machine;

use anyhow::{Result, ensure};
use machine::{Console, Machine};

/// What Debian 12 ships.
const RELEASE: &str = "6.1.";

/// Every step, in order. One that was not tried is as bad as one that failed.
const STEPS: [&str; 24] = [
    "boot",
    "doctor-accepts-the-host",
    "direct-without-a-daemon",
    "verbose-daemon-starts",
    "event-names-process-and-origin",
    "own-socket-is-passed",
    "direct-after-kill-9",
    "daemon-starts-after-kill-9",
    "every-program-is-attached",
    "ipv4",
    "ipv6",
    "mapped",
    "only-v6",
    "neighbour-on-the-same-address",
    "explicit-door",
    "bound-device-is-passed",
    "other-network-namespace-is-passed",
    "direct-while-frozen",
    "intercepted-once-thawed",
    "sigterm-exits-0",
    "counters-are-what-the-steps-did",
    "direct-after-sigterm",
    "nothing-is-left",
    "exec-serves-its-command",
];

#[test]
fn the_released_daemon_works_on_kernel_6_1() -> Result<()> {
    let console = Machine::assemble()?.run()?;
    check(&console).map_err(|error| error.context(format!("the console says:\n{console}")))
}

fn check(console: &Console) -> Result<()> {
    let failed: Vec<_> = console.lines_after("GUEST FAIL ").collect();
    ensure!(failed.is_empty(), "failed: {failed:#?}");
    let passed: Vec<_> = console.lines_after("GUEST PASS ").collect();
    ensure!(passed == STEPS, "passed: {passed:?}\nexpected: {STEPS:?}");
    let kernel = console.lines_after("GUEST KERNEL ").next().unwrap_or_default();
    ensure!(kernel.starts_with(RELEASE), "the kernel was {kernel:?}, not {RELEASE}*");
    let done = console.lines_after("GUEST DONE ").next().unwrap_or_default();
    ensure!(done == format!("{} passed, 0 failed", STEPS.len()), "the end was {done:?}");
    Ok(())
}
