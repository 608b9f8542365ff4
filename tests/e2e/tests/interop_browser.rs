//! A browser loads a page with a hundred assets.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{Script, Server, Site};
use dispa_lab::{Config, Lab, run};

const PAGE: Script = Script::Node(include_str!("../servers/page.mjs"));

/// A browser's cold start takes seconds while other tests share the machine.
const TIMEOUT: Duration = Duration::from_mins(2);

#[test]
fn chromium_loads_a_page_and_all_its_assets_from_the_backends() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let mut backends = Vec::new();
        let mut config = Config::new(&[Site::NAME]);
        for port in [4001, 4002, 4003] {
            backends.push(Server::script(PAGE, port, &[])?);
            config = config.target(&port.to_string(), ([127, 0, 0, 1], port).into());
        }
        let dispa = site.dispa(&config)?;

        let mut chromium = site.cgroup.command("chromium");
        let profile = lab.directory().join("profile");
        chromium.arg(format!("--user-data-dir={}", profile.display())).args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--dump-dom",
            "http://example.com/",
        ]);
        let page = run(&mut chromium, TIMEOUT)?.success()?;
        let told = page.split("<p id=\"told\">").nth(1).context("no page")?;
        ensure!(told.starts_with("100 loaded, 34 ran, 33 styles<"), "{page}");

        let shares = backends.iter().map(Server::requests).collect::<Vec<_>>();
        println!("requests by backend: {shares:?}");
        assert_eq!(shares.iter().sum::<usize>(), 101);
        assert!(shares.iter().all(|share| *share > 30), "{shares:?}");
        assert_eq!(site.original.requests(), 0);
        // What it tries over TLS first is relayed.
        let is_request = |it: &&dispa_lab::Record| !it.text("method").is_empty();
        let ours = |it: &&dispa_lab::Record| it.text("host") == Site::NAME;
        for record in dispa.records("exchange").iter().filter(is_request).filter(ours) {
            ensure!(record.has(&[("door", "transparent"), ("outcome", "ok")]), "{record:?}");
        }
        Ok(())
    })
}
