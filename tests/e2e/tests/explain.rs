//! What `dispa explain` says of a running daemon, and of a file alone.

use std::time::Duration;

use anyhow::Result;
use dispa_e2e::Site;
use dispa_lab::{Dispa, Lab, run};

const SOON: Duration = Duration::from_secs(20);

/// Runs `dispa explain` on the site's configuration.
fn explain(lab: &Lab, site: &Site<'_>, arguments: &[&str]) -> Result<String> {
    let config = Dispa::write(lab, &Site::config(), site.cgroup.path())?;
    let mut command = std::process::Command::new(Dispa::binary()?);
    command.arg("explain").arg("-c").arg(config).args(arguments);
    run(&mut command, SOON)?.success()
}

#[test]
fn a_running_daemon_explains_what_it_has_learned() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&Site::config())?;
        for subject in ["example.com", "http://example.com/a", "198.51.100.10"] {
            let live = explain(lab, &site, &[subject])?;
            println!("{live}\n");
            assert!(live.contains("198.51.100.10"), "{live}");
            assert!(live.contains("127.208."), "the slot: {live}");
            assert!(live.contains("example.com"), "the owner: {live}");
        }
        let json = explain(lab, &site, &["--json", "example.com"])?;
        assert!(json.contains("\"verdict\""), "{json}");
        dispa.stop()?;
        let alone = explain(lab, &site, &["example.com"])?;
        println!("{alone}");
        assert!(!alone.contains("127.208."), "nobody to ask for slots: {alone}");
        Ok(())
    })
}
