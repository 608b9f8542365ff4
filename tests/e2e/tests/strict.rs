//! Every byte stream of the tables in `tests/e2e/strict`, with what must become of it. The judges are
//! h11 and h2, which know nothing of dispa.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::Site;
use dispa_lab::{Config, Dispa, Lab, python, run, until};

/// The whole suite takes some 20 s; a machine may be busy.
const SUITE_TIMEOUT: Duration = Duration::from_mins(5);

/// Longer than idle connections are kept here.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Clients give up, and idle ones go, within a second or two.
const SHORT: &str = "[http]\nheader_timeout = 1\nbody_timeout = 1\n\
     [targets.connections]\nidle_timeout = 1";

const NAME: &str = "a.test";

fn door(number: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080 + number))
}

fn target(number: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 3100 + number))
}

fn config(number: u16, keys: &str) -> Config {
    Config::new(&[NAME])
        .bind(door(number))
        .target("judge", target(number))
        .target_keys(keys)
        .sections(SHORT)
}

fn descriptors(dispa: &Dispa) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{}/fd", dispa.id()))?.count())
}

#[test]
fn nothing_passes_that_two_parsers_could_read_in_two_ways() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        site.dns.set(NAME, &[Site::V4], 60);
        let proxies = [
            site.dispa(&config(1, ""))?,
            site.dispa(&config(2, "protocol = \"http2\""))?,
            site.dispa(&config(3, ""))?,
        ];
        let before: Vec<usize> = proxies.iter().map(descriptors).collect::<Result<_>>()?;
        // Learned by the first, so that its address is intercepted.
        site.client("getent", &["ahostsv4", NAME])?;

        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("strict/run.py");
        let mut command = site.cgroup.command(python()?);
        command.arg(script).args((1..=3).map(|number| door(number).to_string()));
        command.args((1..=3).map(|number| target(number).port().to_string()));
        command.arg(format!("{}:80", Site::V4));
        let verdict = run(&mut command, SUITE_TIMEOUT)?.success()?;
        println!("{}", verdict.lines().last().context("it says what it did")?);
        ensure!(site.original.requests() == 0, "nothing goes astray");

        for (dispa, before) in proxies.iter().zip(before) {
            until(IDLE_TIMEOUT, "connections are closed", || {
                descriptors(dispa).is_ok_and(|now| now <= before + 1).then_some(())
            })?;
            let said = dispa.log();
            let errors: Vec<_> = said.iter().filter(|it| it.text("level") == "ERROR").collect();
            ensure!(errors.is_empty(), "{errors:?}");
        }
        Ok(())
    })
}
