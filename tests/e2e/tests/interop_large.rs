//! A body larger than any memory passes, and leaves the daemon as small as it was.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use dispa_e2e::{Server, Site, ZeroServer};
use dispa_lab::{Dispa, Lab, run};

const GIB: u64 = 1 << 30;

/// Ten times what two busy processors take.
const TIMEOUT: Duration = Duration::from_mins(5);

/// How much the daemon's memory may grow at most: buffers of a few connections, no bodies.
const MOST_GROWTH_KIB: u64 = 32 * 1024;

/// Downloads so much, and checks that it is all there.
fn download(site: &Site<'_>, dispa: &Dispa, version: &str, gib: u64) -> Result<()> {
    let bytes = (gib * GIB).to_string();
    let mut curl = site.cgroup.command("curl");
    curl.args(["-sSf", version, "-o/dev/null", "-w", "%{size_download}"]);
    curl.arg(format!("http://example.com/{bytes}"));
    assert_eq!(watched(&format!("{gib} GiB down, {version}"), dispa, &mut curl)?, bytes);
    Ok(())
}

/// Uploads so much, and checks that the server got it all.
fn upload(site: &Site<'_>, dispa: &Dispa, version: &str, gib: u64) -> Result<()> {
    let bytes = (gib * GIB).to_string();
    let script = format!(
        "head -c {bytes} /dev/zero | curl -sSf {version} -T - -H 'content-length: {bytes}' \
         -H 'transfer-encoding:' -H 'expect:' http://example.com/up"
    );
    let mut shell = site.cgroup.command("sh");
    shell.args(["-c", &script]);
    assert_eq!(watched(&format!("{gib} GiB up, {version}"), dispa, &mut shell)?, bytes);
    Ok(())
}

/// Runs a transfer, says how it went, and checks what memory it took.
fn watched(what: &str, dispa: &Dispa, client: &mut Command) -> Result<String> {
    dispa.forget_peak()?;
    let (before, begun) = (dispa.memory_kib("VmHWM")?, Instant::now());
    let told = run(client, TIMEOUT)?.success()?;
    let (peak, took) = (dispa.memory_kib("VmHWM")?, begun.elapsed());
    println!("{what}: {took:.1?}, {before} KiB before, {peak} KiB at most");
    let growth = peak.saturating_sub(before);
    ensure!(growth < MOST_GROWTH_KIB, "{what}: {growth} KiB more");
    Ok(told)
}

fn pass_in_constant_memory(version: &str, gib: u64) -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _server = ZeroServer::start(Server::ORIGIN)?;
        let dispa = site.dispa(&Site::config_of(Server::ORIGIN))?;
        // What one connection takes is taken already.
        site.curl(&["-o/dev/null", version, "http://example.com/1000000"])?;
        download(&site, &dispa, version, gib)?;
        upload(&site, &dispa, version, gib)
    })
}

#[test]
fn ten_gibibytes_each_way_pass_in_constant_memory() -> Result<()> {
    pass_in_constant_memory("--http1.1", 10)
}

#[test]
fn two_gibibytes_each_way_over_http2_do_as_well() -> Result<()> {
    pass_in_constant_memory("--http2-prior-knowledge", 2)
}
