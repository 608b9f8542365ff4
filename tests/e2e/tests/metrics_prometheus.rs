//! A real Prometheus and its tools: what they say of dispa's metrics, alert rules and dashboard.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{Scrape, Site, http1::Client, unwell::PROBES};
use dispa_lab::{Config, HttpServer, Lab, Process, run, until};
use serde_json::Value;

/// For what a machine busy with other tests may take.
const SOON: Duration = Duration::from_mins(1);

/// Where Prometheus answers.
const PROMETHEUS: &str = "127.0.0.1:9091";

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config").join(name)
}

#[test]
fn promtool_has_nothing_against_rules_and_metrics() -> Result<()> {
    let rules =
        run(Command::new("promtool").args(["check", "rules"]).arg(shipped("alerts.yml")), SOON)?;
    ensure!(rules.success()?.contains("SUCCESS"), "rules");
    let mut tests = Command::new("promtool");
    run(tests.args(["test", "rules"]).arg(shipped("alerts.test.yml")), SOON)?.success()?;
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _dispa = site.dispa(&Site::config().monitoring("").sections(PROBES))?;
        site.curl(&["http://example.com/[1-20]"])?;
        let text = Scrape::now()?.text;
        let file = lab.file("metrics.txt", &text)?;
        let check = format!("promtool check metrics < {}", file.display());
        let told = run(Command::new("sh").args(["-c", &check]), SOON)?;
        ensure!(told.stdout().is_empty() && told.stderr().is_empty(), "{told:?}\n{text}");
        told.success()?;
        Ok(())
    })
}

/// A Prometheus that scrapes the daemon every second, and rings where a rule has held for as long.
fn prometheus(lab: &Lab) -> Result<Process> {
    let hurried: String = fs::read_to_string(shipped("alerts.yml"))?
        .lines()
        .map(|line| match line.split_once("for: ") {
            Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 1s\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let rules = lab.file("alerts.yml", &hurried)?;
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{:?}]\n\
         scrape_configs: [{{job_name: dispa, static_configs: [{{targets: ['{}']}}]}}]\n",
        rules.display().to_string(),
        Scrape::METRICS,
    );
    let config = lab.file("prometheus.yml", &config)?;
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", lab.directory().join("tsdb").display()))
        .arg(format!("--web.listen-address={PROMETHEUS}"));
    let process = Process::start(&mut command)?;
    until(SOON, "Prometheus to be ready", || {
        let answer = Client::connect(PROMETHEUS.parse().ok()?).ok()?.get(PROMETHEUS, "/-/ready");
        answer.is_ok_and(|answer| answer.status == 200).then_some(())
    })?;
    Ok(process)
}

/// What Prometheus' API answers.
fn api(path: &str) -> Result<Value> {
    let answer = Client::connect(PROMETHEUS.parse()?)?.get(PROMETHEUS, path)?;
    let value: Value = serde_json::from_slice(&answer.body)?;
    ensure!(value["status"] == "success", "{path}: {value}");
    Ok(value["data"].clone())
}

/// How many series a query finds.
fn found(query: &str) -> Result<usize> {
    let escaped: String = query
        .bytes()
        .map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    let data = api(&format!("/api/v1/query?query={escaped}"))?;
    Ok(data["result"].as_array().map_or(0, Vec::len))
}

/// The names of the alerts that ring.
fn ringing() -> Result<Vec<(String, String)>> {
    let data = api("/api/v1/alerts")?;
    let alerts = data["alerts"].as_array().context("a list")?;
    let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
    let label =
        |alert: &Value, name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
    Ok(firing.map(|alert| (label(alert, "alertname"), label(alert, "target"))).collect())
}

fn config() -> Config {
    Site::config().monitoring("").sections(PROBES)
}

#[test]
fn alerts_ring_when_a_backend_is_gone_and_end_when_it_is_back() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _dispa = site.dispa(&config())?;
        let _prometheus = prometheus(lab)?;
        until(SOON, "a scrape", || (found("dispa_target_healthy == 1").ok()? == 3).then_some(()))?;
        ensure!(ringing()?.is_empty(), "{:?}", ringing()?);
        let Site { backends: [one, two, three], .. } = site;
        drop(two);
        let unhealthy = |target: &str| ("DispaTargetUnhealthy".to_owned(), target.to_owned());
        until(SOON, "the alert", || ringing().ok()?.contains(&unhealthy("two")).then_some(()))?;
        ensure!(!ringing()?.iter().any(|(name, _)| name == "DispaPoolDown"), "there are others");
        drop((one, three));
        let down = ("DispaPoolDown".to_owned(), String::new());
        until(SOON, "the pool's alert", || ringing().ok()?.contains(&down).then_some(()))?;
        let _back = HttpServer::start("two", &[Site::backend(2)])?;
        until(SOON, "its end", || {
            let ringing = ringing().ok()?;
            (!ringing.contains(&unhealthy("two")) && !ringing.contains(&down)).then_some(())
        })?;
        Ok(())
    })
}

/// The queries of the dashboard, as Grafana would send them.
fn dashboard() -> Result<Vec<String>> {
    let text = fs::read_to_string(shipped("grafana-dashboard.json"))?;
    let dashboard: Value = serde_json::from_str(&text)?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let filled = |target: &Value| {
        let query = target["expr"].as_str()?;
        Some(query.replace("$instance", ".*").replace("$__rate_interval", "10s"))
    };
    targets.map(|target| filled(target).context("an expression")).collect()
}

#[test]
fn every_query_of_the_dashboard_finds_something() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _dispa = site.dispa(&config())?;
        let _prometheus = prometheus(lab)?;
        let queries = dashboard()?;
        ensure!(queries.len() > 50, "{}", queries.len());
        let mut empty = queries.clone();
        let all = until(SOON, "every query to find something", || {
            site.curl(&["http://example.com/[1-20]"]).ok()?;
            site.curl(&["-4", "-HHost: other.test", "http://example.com/"]).ok()?;
            empty.retain(|query| found(query).map_or(true, |count| count == 0));
            empty.is_empty().then_some(())
        });
        all.with_context(|| format!("nothing is found by {empty:#?}"))?;
        // Prometheus reads OpenMetrics, with what that says of each metric.
        let metadata = api("/api/v1/metadata?metric=dispa_requests")?;
        ensure!(metadata["dispa_requests"][0]["type"] == "counter", "{metadata}");
        Ok(())
    })
}
