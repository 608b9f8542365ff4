//! The daemon's page in a real browser.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Command,
    time::Duration,
};

use anyhow::Result;
use dispa_lab::{Lab, run};
use serde_json::Value;

/// Needs nothing but Node.
const BROWSER: &str = include_str!("../clients/page.mjs");

/// Where the page is.
pub const PAGE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9080);

/// A browser's cold start takes seconds while other tests share the machine.
pub const BROWSER_TIMEOUT: Duration = Duration::from_mins(2);

/// What a browser tells that takes these steps (the script says which there are); the last of it is its
/// console.
pub fn browse(lab: &Lab, steps: &[&str]) -> Result<Vec<Value>> {
    let mut command = Command::new("node");
    command.args(["--input-type=module", "-e", BROWSER, "--"]);
    command.arg(lab.directory().join("profile")).args(steps);
    let told = run(&mut command, BROWSER_TIMEOUT)?.success()?;
    told.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}
