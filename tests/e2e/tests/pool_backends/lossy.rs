//! A backend behind a link that loses packets: TCP sends them again, and most probes succeed.

use std::{process::Command, thread, time::Duration};

use anyhow::{Result, ensure};
use dispa_e2e::{Stage, http1::Backend};
use dispa_lab::{Lab, run, until};

const SOON: Duration = Duration::from_secs(20);
/// How long the link is watched: about twenty probes.
const WATCHED: Duration = Duration::from_secs(40);

/// Of a hundred packets each way, how many are lost.
const LOSS: u32 = 25;

/// Time for a packet or two to be sent again: a lost SYN is after a second (RFC 6298 section 2),
/// what follows after a fifth of one (Linux, `TCP_RTO_MIN`).
const PATIENT: &str = "[targets.health_check]
interval = 1
timeout = 3
unhealthy_threshold = 3
path = \"/health\"";

/// Lets the lab's packets to and from the backend be lost by chance.
fn lose() -> Result<()> {
    let port = Stage::BACKEND.port();
    let lost = format!("numgen random mod 100 < {LOSS} counter drop");
    let rules = format!(
        "table ip lossy {{ chain out {{ type filter hook output priority 0; \
         tcp dport {port} {lost}; tcp sport {port} {lost}; }}; }}"
    );
    run(Command::new("nft").arg(rules), SOON)?.success().map(drop)
}

/// How many were lost.
fn lost() -> Result<u64> {
    let told = run(Command::new("nft").args(["list", "table", "ip", "lossy"]), SOON)?.success()?;
    let counts = told.split("counter packets ").skip(1).map(|it| it.split(' ').next());
    Ok(counts.map(|it| it.unwrap_or_default().parse::<u64>()).sum::<Result<_, _>>()?)
}

#[test]
fn a_link_that_loses_packets_hardly_makes_a_backend_unhealthy() -> Result<()> {
    Lab::run(|lab| {
        let backend = Backend::start(Stage::BACKEND, |exchange| exchange.answer("200 OK", "well"))?;
        let stage = Stage::start(lab, &Stage::config().sections(PATIENT))?;
        let probes = || backend.seen_for("/health").len();
        // The first one decides alone.
        until(SOON, "the first probe", || (probes() > 0).then_some(()))?;
        let before = (backend.accepted(), probes());

        lose()?;
        thread::sleep(WATCHED);
        let unhealthy = stage.dispa.records("unhealthy");
        let errors: Vec<_> = unhealthy.iter().map(|it| it.text("error").to_owned()).collect();
        let lost = lost()?;
        println!(
            "{LOSS} % lost each way for {WATCHED:?}: {lost} packets; {} connections, {} probes seen; \
             unhealthy {} times {errors:?}",
            backend.accepted() - before.0,
            probes() - before.1,
            unhealthy.len(),
        );
        ensure!(lost > 0, "nothing was lost");
        ensure!(probes() > before.1, "no probe came through");
        ensure!(unhealthy.len() <= 1, "{unhealthy:?}");
        Ok(())
    })
}
