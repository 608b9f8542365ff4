//! The complete example of the Dispa manual, key by key as it is there: it loads, and all that it
//! asks for is done.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{Scrape, Traffic, http1::Client};
use dispa_lab::{Cgroup, Config, Dispa, DnsServer, HttpServer, Lab, Process, Record, run, until};
use nix::sys::signal::Signal;
use serde_json::Value;

const EXAMPLE: &str = include_str!("../manual.toml");

const SOON: Duration = Duration::from_secs(30);

/// Where the example's names lead to without dispa.
const SITE: [u8; 4] = [198, 51, 100, 10];

/// The last bytes of the targets' addresses in 192.168.1.0/24, as the example has them.
const TARGETS: [u8; 3] = [100, 101, 102];

/// A number of requests that the weights 3:2:1 divide.
const REQUESTS: usize = 60;

/// The names and servers that the example is about, and a daemon that has it for its configuration.
struct Example {
    daemon: Process,
    targets: Vec<HttpServer>,
    _original: HttpServer,
    _dns: DnsServer,
    cgroup: Cgroup,
}

impl Example {
    fn start(lab: &Lab) -> Result<Self> {
        lab.address(SITE)?;
        let dns = DnsServer::start()?;
        for name in ["example.com", "api.example.com", "admin.example.com", "internal.test.com"] {
            dns.set(name, &[SITE.into()], 60);
        }
        let original = HttpServer::start("original", &[(SITE, 80).into()])?;
        let mut targets = Vec::new();
        for (number, last) in (1..).zip(TARGETS) {
            let address = [192, 168, 1, last];
            lab.address(address)?;
            let name = format!("backend{number}");
            targets.push(HttpServer::start(&name, &[(address, 3000).into()])?);
        }
        let cgroup = Cgroup::new()?;
        // The file says nothing of a cgroup, and the lab reads records of JSON.
        let mut command = cgroup.command(Dispa::binary()?);
        command.args(["-c", "config.toml"]).current_dir(lab.directory());
        command.env("DISPA__INTERCEPT__CGROUP", cgroup.path());
        command.env("DISPA__LOGGING__FORMAT", "json");
        lab.file("config.toml", EXAMPLE)?;
        let daemon = Process::start(&mut command)?;
        let is_ready = |text: &str| Record::parse(text).is_some_and(|it| it.message() == "ready");
        daemon.wait_for_line(SOON, |line| is_ready(&line.text))?;
        Ok(Self { daemon, targets, _original: original, _dns: dns, cgroup })
    }

    /// Asks for `http://NAME/` inside the cgroup, as a program that knows nothing of dispa.
    fn curl(&self, name: &str) -> Result<String> {
        let url = format!("http://{name}/");
        run(self.cgroup.command("curl").args(["-sSf", "--max-time", "20", &url]), SOON)?.success()
    }

    /// How many requests of clients each target has seen.
    fn shares(&self) -> Vec<usize> {
        let of_clients = |it: &HttpServer| {
            it.seen().iter().filter(|seen| seen.path.starts_with("/asked")).count()
        };
        self.targets.iter().map(of_clients).collect()
    }

    /// Asks the daemon to end; its log.
    fn stop(self) -> Result<Vec<Record>> {
        self.daemon.signal(Signal::SIGTERM)?;
        let finished = self.daemon.finish(SOON)?;
        finished.success()?;
        Ok(finished.stderr().lines().filter_map(Record::parse).collect())
    }
}

#[test]
fn the_check_finds_nothing_wrong_with_it() -> Result<()> {
    Lab::run(|lab| {
        let file = lab.file("config.toml", EXAMPLE)?;
        run(Command::new(Dispa::binary()?).arg("check").arg(file), SOON)?.success().map(drop)
    })
}

#[test]
fn its_weights_are_kept_and_what_it_excludes_is_not_served() -> Result<()> {
    Lab::run(|lab| {
        let example = Example::start(lab)?;
        let mut client = Client::connect(Config::EXPLICIT_DOOR)?;
        for name in ["example.com", "api.example.com", "any.test.com"] {
            let answer = client.get(name, "/")?;
            ensure!(answer.status == 200 && answer.text().starts_with("backend"), "{answer:?}");
        }
        for name in ["admin.example.com", "internal.test.com", "www.example.com", "test.com"] {
            let answer = client.get(name, "/")?;
            ensure!(answer.status == 404, "{name}: {answer:?}");
        }
        // Six requests are one round of the weights, wherever in it they begin. Every worker has a
        // round of its own, and one connection is one worker's.
        for _ in 0..REQUESTS {
            let answer = client.get("example.com", "/asked")?;
            ensure!(answer.status == 200, "{answer:?}");
        }
        assert_eq!(example.shares(), [REQUESTS / 2, REQUESTS / 3, REQUESTS / 6]);

        for name in ["example.com", "api.example.com"] {
            let body = example.curl(name)?;
            ensure!(body.starts_with("backend"), "{name}: {body}");
        }
        for name in ["admin.example.com", "internal.test.com"] {
            assert_eq!(example.curl(name)?, "original", "{name}");
        }
        let log = example.stop()?;
        let text = |it: &Record| format!("{it:?}");
        let loud: Vec<_> = log.iter().map(text).filter(|it| it.contains("ERROR")).collect();
        ensure!(loud.is_empty(), "{loud:?}");
        Ok(())
    })
}

#[test]
fn its_ports_answer_and_its_log_is_in_files_and_database() -> Result<()> {
    Lab::run(|lab| {
        let example = Example::start(lab)?;
        let answer = Client::connect(Config::EXPLICIT_DOOR)?.get("example.com", "/asked")?;
        ensure!(answer.status == 200, "{answer:?}");
        let health = Client::connect(Scrape::HEALTH)?.get("localhost:8081", "/health")?;
        ensure!(health.status == 200, "{health:?}");
        let told: Value = serde_json::from_slice(&health.body)?;
        assert_eq!(told["status"], "healthy");
        for part in
            ["proxy_server", "interception", "load_balancer", "traffic_logger", "metrics_collector"]
        {
            assert_eq!(told["components"][part], "healthy", "{part}: {told}");
        }
        let metrics = Scrape::now()?;
        for name in [
            "dispa_requests_total",
            "dispa_request_duration_seconds",
            "dispa_target_healthy",
            "dispa_target_requests_total",
            "dispa_active_connections",
        ] {
            ensure!(metrics.text.contains(&format!("\n{name}")), "{name}: {}", metrics.text);
        }
        example.stop()?;

        // `logs` and `data` are where the daemon was started.
        let traffic = Traffic::new(lab, ".");
        let names = fs::read_dir(traffic.files())?.map(|entry| Ok(entry?.file_name()));
        let names = names.collect::<Result<Vec<_>>>()?;
        let [name] = &names[..] else { anyhow::bail!("{names:?}") };
        let name = name.to_str().context("a name")?;
        let date = name.strip_prefix("traffic-").and_then(|rest| rest.strip_suffix(".log"));
        ensure!(date.is_some_and(|date| date.len() == "2024-01-01".len()), "{name}");
        let records = traffic.lines()?;
        let [record] = &records[..] else { anyhow::bail!("{records:?}") };
        for (key, value) in
            [("client_ip", "127.0.0.1"), ("host", "example.com"), ("path", "/asked")]
        {
            assert_eq!(record[key], value, "{record}");
        }
        assert_eq!(record["status_code"], 200);
        ensure!(record["duration_ms"].is_number() && record["timestamp"].is_string(), "{record}");
        ensure!(record["target"].as_str().is_some_and(|it| it.starts_with("backend")), "{record}");
        assert_eq!(traffic.select("host")?, ["example.com"]);
        assert_eq!(traffic.select("id")?, [record["id"].clone()]);
        Ok(())
    })
}

#[test]
fn it_starts_with_no_warning_but_a_true_one() -> Result<()> {
    Lab::run(|lab| {
        let log = Example::start(lab)?.stop()?;
        let texts = log.iter().map(|it| format!("{it:?}"));
        let warnings: Vec<_> = texts.filter(|it| it.contains("WARN")).collect();
        // Port 443 is intercepted too, and the manual's targets all speak plain HTTP.
        let [only] = &warnings[..] else { anyhow::bail!("{warnings:#?}") };
        ensure!(only.contains("no target has an https:// url"), "{only}");
        Ok(())
    })
}

#[test]
fn each_of_its_workers_is_a_thread() -> Result<()> {
    Lab::run(|lab| {
        let example = Example::start(lab)?;
        let threads = format!("/proc/{}/task", example.daemon.id());
        let workers = || {
            let entries = fs::read_dir(&threads).ok()?.filter_map(Result::ok);
            let names = entries.filter_map(|it| fs::read_to_string(it.path().join("comm")).ok());
            Some(names.filter(|name| name.starts_with("dispa-worker-")).count())
        };
        until(SOON, "four workers", || (workers()? == 4).then_some(()))?;
        example.stop().map(drop)
    })
}
