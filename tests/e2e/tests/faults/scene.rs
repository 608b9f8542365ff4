//! A fault and who is there to see it: a daemon, programs that it intercepts, and one that it does not.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{Probe, Site, now_ns};
use dispa_lab::{Dispa, HttpServer, Lab, Process};

const SOON: Duration = Duration::from_secs(30);

/// Nobody intercepts it.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 99));

/// Microseconds between two connections of a program that is intercepted: 200 a second.
pub(crate) const OFTEN: &str = "5000";

/// A program in the intercepted cgroup that asks somebody else, 400 times a second, half of them on
/// connections of their own.
pub(crate) struct Bystander {
    steady: Process,
    _server: HttpServer,
}

impl Bystander {
    pub(crate) fn start(site: &Site<'_>) -> Result<Self> {
        site.lab.address(ELSEWHERE)?;
        let address = SocketAddr::from((ELSEWHERE, 80));
        let server = HttpServer::start("elsewhere", &[address])?;
        let mut steady = site.cgroup.command(env!("CARGO_BIN_EXE_steady"));
        steady.args([&address.to_string(), "elsewhere.test", "4", "10"]);
        Ok(Self { steady: Process::start(&mut steady)?, _server: server })
    }

    /// Fails if one of its requests failed; tells how they went.
    pub(crate) fn end(self) -> Result<String> {
        let told = self.steady.finish(SOON)?.success()?;
        let mut times = Vec::new();
        for line in told.lines() {
            let mut words = line.split(' ').skip(1);
            let took: u64 = words.next().context("a time")?.parse()?;
            ensure!(words.eq(["200", "elsewhere"]), "a bystander's request failed: {line}");
            times.push(took);
        }
        times.sort_unstable();
        let p99 = times.get(times.len() * 99 / 100).context("it asked nothing")?;
        Ok(format!("bystander: {} requests, 0 failed, p99 {:.1} ms", times.len(), ms(*p99)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(crate) fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// A program that is intercepted, and connects every so many microseconds.
pub(crate) fn probe(site: &Site<'_>, pause_us: &str) -> Result<Probe> {
    let address = SocketAddr::from((Site::V4, 80)).to_string();
    let mut command = site.cgroup.command(env!("CARGO_BIN_EXE_probe"));
    Probe::start(command.args([&address, Site::NAME, pause_us]))
}

/// How long after `since_ns` the first connection was begun that `who` answered, in milliseconds.
pub(crate) fn first(probe: &Probe, who: &str, since_ns: u64) -> Result<f64> {
    let answer = probe.first(who, since_ns).with_context(|| format!("nobody is {who}"))?;
    Ok(ms(answer.begun_ns - since_ns))
}

/// Runs `fault` on a site with a bystander. What it returns is printed under `name`, with how the
/// bystander fared.
pub(crate) fn fault(
    name: &str,
    fault: impl FnOnce(&Lab, &Site<'_>) -> Result<String> + Send,
) -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let bystander = Bystander::start(&site)?;
        let told = fault(lab, &site)?;
        println!("{name}: {told}; {}", bystander.end()?);
        Ok(())
    })
}

/// Runs a fault that nothing must come of, and stops the daemon: every connection is intercepted as
/// before. On a machine busy with other tests some may go direct, for want of a heartbeat.
pub(crate) fn unnoticed(
    site: &Site<'_>,
    dispa: Dispa,
    fault: impl FnOnce(&Dispa) -> Result<String>,
) -> Result<String> {
    let probe = probe(site, OFTEN)?;
    probe.first("one", 0)?;
    let begun_ns = now_ns()?;
    let told = fault(&dispa)?;
    let ended_ns = now_ns()?;
    probe.first("one", ended_ns)?;
    let (answers, stopped) = (probe.end()?, dispa.stop()?.summary);
    let who = answers.who(0..u64::MAX);
    ensure!(who.iter().all(|who| ["one", "original"].contains(who)), "{who:?}");
    let [one, direct] = ["one", "original"].map(|who| answers.by(who));
    let late = stopped.count("stale_heartbeat").context("counted")?;
    ensure!(u64::try_from(direct)? <= late, "{direct} went direct: {stopped:?}");
    let took = ms(ended_ns - begun_ns);
    Ok(format!("{told}; in {took:.0} ms {one} intercepted, {direct} direct, 0 failed"))
}
