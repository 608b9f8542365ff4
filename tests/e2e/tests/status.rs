//! What `dispa status` says of a running daemon, and of none.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::Site;
use dispa_lab::{Config, Dispa, Finished, Lab, run};

const SOON: Duration = Duration::from_secs(20);

/// Runs `dispa status` on the configuration.
fn status(lab: &Lab, site: &Site<'_>, config: &Config, arguments: &[&str]) -> Result<Finished> {
    let file = Dispa::write(lab, config, site.cgroup.path())?;
    let mut command = Command::new(Dispa::binary()?);
    run(command.arg("status").arg("-c").arg(file).args(arguments), SOON)
}

/// The words of the target's line.
fn line<'t>(text: &'t str, target: &str) -> Result<Vec<&'t str>> {
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.find(|words| words.first() == Some(&target)).with_context(|| text.to_owned())
}

#[test]
fn a_running_daemon_tells_how_its_targets_are() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let config = Site::config().target("nobody", "127.0.0.1:3999".parse()?).sections(
            "[targets.health_check]\ninterval = 1\n[[backends]]\nid = \"spare\"\n\
             address = \"127.0.0.1:3001\"\ntags = [\"b\"]\nweight = 3\n\
             [[virtual_hosts]]\ndomain = \"b.test\"\nenabled_backends_tag = \"b\"",
        );
        let dispa = site.dispa(&config)?;
        dispa.record("unhealthy", &[("target", "nobody")])?;
        site.curl(&["http://example.com/[1-30]"])?;
        let text = status(lab, &site, &config, &[])?.success()?;
        println!("{text}");
        ensure!(text.starts_with("dispa ") && text.contains("\npool default (roundrobin)\n"));
        ensure!(text.contains("\npool b (roundrobin)\n"));
        for name in ["one", "two", "three"] {
            let words = line(&text, name)?;
            ensure!(words[1..7] == ["up", "1", "0", "10", "0", "0"], "{words:?}");
            ensure!(words.last() == Some(&"us"), "the kernel counts: {words:?}");
        }
        ensure!(line(&text, "nobody")?[1] == "down");
        ensure!(line(&text, "spare")?[1..4] == ["up", "3", "0"]);

        let json = status(lab, &site, &config, &["--json"])?.success()?;
        for expected in ["\"state\": \"down\"", "\"good\": 10", "\"not_counted\": null"] {
            ensure!(json.contains(expected), "{expected} is not in {json}");
        }
        Ok(())
    })
}

#[test]
fn without_a_daemon_it_says_so() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let told = status(lab, &site, &Site::config(), &[])?;
        assert_eq!(told.code(), Some(69));
        ensure!(told.stderr().contains("no daemon can be asked at /run/dispa/dispa.sock"));
        let config = Site::config().sections("[admin]\nsocket = \"\"");
        let told = status(lab, &site, &config, &[])?;
        assert_eq!(told.code(), Some(1));
        ensure!(told.stderr().contains("admin.socket"), "{}", told.stderr());
        Ok(())
    })
}
