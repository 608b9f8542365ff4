//! What health and metrics say is what happened, and never more than can be stored.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{
    PAGE, Scrape, Site, Stage, browse,
    http1::Client,
    unwell::{PROBES, breaks_off, nobody},
};
use dispa_lab::{Config, Dispa, HttpServer, Lab, TcpServer, run, until};
use nix::sys::signal::Signal;

const SOON: Duration = Duration::from_secs(20);

/// For very many requests.
const PATIENCE: Duration = Duration::from_mins(5);

/// Where backends in bad order are.
fn bad(number: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 3100 + number).into()
}

/// A domain with a backend of its own.
fn domain(name: &str, address: SocketAddr) -> String {
    format!(
        "[[backends]]\nid = \"{name}\"\naddress = \"{address}\"\ntags = [\"{name}\"]\n\
         [[virtual_hosts]]\ndomain = \"{name}.test\"\nenabled_backends_tag = \"{name}\"\n"
    )
}

/// A domain with a backend that is there, and one that is not.
const HALF: &str = "[[backends]]\nid = \"there\"\naddress = \"127.0.0.1:3001\"\ntags = [\"half\"]\n\
[[backends]]\nid = \"not\"\naddress = \"127.0.0.1:3999\"\ntags = [\"half\"]\n\
[[virtual_hosts]]\ndomain = \"half.test\"\nenabled_backends_tag = \"half\"\n";

/// What `dispa status --json` says.
fn status(lab: &Lab, site: &Site<'_>, config: &Config) -> Result<serde_json::Value> {
    let file = Dispa::write(lab, config, site.cgroup.path())?;
    let mut command = Command::new(Dispa::binary()?);
    let told = run(command.args(["status", "--json", "-c"]).arg(file), SOON)?.success()?;
    Ok(serde_json::from_str(&told)?)
}

/// Answers after the head, for as long as anybody listens.
fn hangs(address: SocketAddr) -> Result<TcpServer> {
    TcpServer::start(&[address], |connection| {
        use std::io::Read as _;
        let mut stream = &*connection.stream;
        let mut bytes = [0; 4096];
        while stream.read(&mut bytes)? > 0 {}
        Ok(())
    })
}

/// Requests that are nothing special, at each door.
const PLAIN: u64 = 50_000;

/// Both doors at once, over kept connections.
fn plain_traffic(site: &Site<'_>) -> Result<()> {
    let ways = ["http://example.com/", "http://door.test:8080/"];
    let curl = |way: &str| {
        let (url, host) = (format!("{way}[1-{PLAIN}]"), "-HHost: example.com");
        let quiet = ["-sSf", "-o", "/dev/null", "--max-time", "30", host, &url];
        run(site.cgroup.command("curl").args(quiet), PATIENCE)?.success()
    };
    std::thread::scope(|scope| {
        let curls = ways.map(|way| scope.spawn(move || curl(way)));
        curls.into_iter().try_for_each(|curl| curl.join().expect("no panic").map(drop))
    })
}

/// Traffic of every other kind; how much of each outcome it all comes to.
fn mixed_traffic(site: &Site<'_>) -> Result<BTreeMap<String, u64>> {
    site.curl(&["-4", "-d", "a body", "http://example.com/[1-100]"])?;
    for _ in 0..50 {
        // Debian's curl cannot use a connection of this kind twice.
        site.curl(&["--http2-prior-knowledge", "http://example.com/"])?;
    }
    // Relayed: another name at an address that is intercepted.
    for _ in 0..25 {
        ensure!(site.curl(&["-4", "-HHost: other.test", "http://example.com/"])? == "original");
    }
    let door = || Client::connect(Config::EXPLICIT_DOOR);
    for _ in 0..30 {
        ensure!(door()?.get("nobody.test", "/")?.status == 404);
    }
    for _ in 0..20 {
        let mut client = door()?;
        client.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")?;
        ensure!(client.answer()?.status == 400);
    }
    for _ in 0..15 {
        ensure!(door()?.get("broken.test", "/")?.status == 502);
    }
    for _ in 0..10 {
        ensure!(door()?.get("gone.test", "/")?.status == 503);
    }
    // Every second one is tried at the other target.
    for _ in 0..8 {
        ensure!(door()?.get("half.test", "/")?.status == 200);
    }
    for _ in 0..12 {
        let mut client = door()?;
        client.send("GET / HTTP/1.1\r\nHost: hangs.test\r\n\r\n")?;
        // Until it is there.
        client.hears_within(Duration::from_millis(50))?;
    }
    let outcomes = [
        ("ok", 2 * PLAIN + 158),
        ("relayed", 25),
        ("no_rule", 30),
        ("bad_request", 20),
        ("backend_failed", 15),
        ("backend_unreachable", 10),
        ("client_aborted", 12),
    ];
    Ok(outcomes.map(|(name, count)| (name.to_owned(), count)).into())
}

fn errors_agree(scrape: &Scrape, outcomes: &BTreeMap<String, u64>) {
    let is_error = |name: &str| !["ok", "relayed", "client_aborted", "stopped"].contains(&name);
    let errors = outcomes.iter().filter(|(name, _)| is_error(name));
    let errors: BTreeMap<_, _> = errors.map(|(name, count)| (name.clone(), *count)).collect();
    assert_eq!(scrape.by("dispa_requests_errors_total", "cause"), errors);
}

fn doors_and_protocols_agree(scrape: &Scrape) {
    let explicit = PLAIN + 30 + 20 + 15 + 10 + 8 + 12;
    let transparent = PLAIN + 100 + 50 + 25;
    let of = |labels: &[(&str, &str)]| scrape.count("dispa_requests_total", labels);
    assert_eq!(of(&[("door", "explicit")]), explicit);
    assert_eq!(of(&[("door", "transparent")]), transparent);
    assert_eq!(of(&[("protocol", "http2")]), 50);
    let durations =
        |labels: &[(&str, &str)]| scrape.count("dispa_request_duration_seconds_count", labels);
    assert_eq!(durations(&[("door", "explicit")]), explicit);
    assert_eq!(durations(&[("door", "transparent")]), transparent - 25);
    assert_eq!(scrape.count("dispa_relay_duration_seconds_count", &[]), 25);
    let posted = [("protocol", "http1")];
    assert_eq!(scrape.count("dispa_client_received_bytes_total", &posted), 600);
    assert_eq!(scrape.count("dispa_active_connections", &[]), 0, "all are closed");
}

/// What servers have seen is what they are said to have been asked.
fn targets_agree(scrape: &Scrape, site: &Site<'_>) {
    let mut targets: BTreeMap<String, u64> =
        site.backends.iter().map(|it| (it.name().to_owned(), it.requests() as u64)).collect();
    // It is one server by two names.
    *targets.entry("one".to_owned()).or_default() -= 8;
    let own = [("broken", 15), ("hangs", 12), ("gone", 10), ("there", 8), ("not", 4)];
    targets.extend(own.map(|(name, count)| (name.to_owned(), count)));
    assert_eq!(scrape.by("dispa_target_requests_total", "target"), targets);
    assert_eq!(scrape.count("dispa_retries_total", &[]), 4);
}

fn kernel_and_dns_are_there(scrape: &Scrape) -> Result<()> {
    let of = |metric: &str| scrape.count(metric, &[]);
    ensure!(of("dispa_dns_questions_total") >= 5);
    ensure!(of("dispa_dns_relay_duration_seconds_count") >= 5);
    ensure!(scrape.count("dispa_kernel_hits_total", &[("outcome", "redirected_v4")]) > 0);
    ensure!(of("dispa_target_received_bytes_total") > 0, "the kernel counts");
    ensure!(of("dispa_slots_in_use") > 0 && of("dispa_learned_names") >= 3);
    Ok(())
}

/// What the page shows, as a person reads it.
fn page_agrees(
    lab: &Lab,
    told: &serde_json::Value,
    outcomes: &BTreeMap<String, u64>,
) -> Result<()> {
    const ROWS: &str = "[...at(ID).rows].map((row) => [...row.cells].map((it) => it.textContent))";
    let token = fs::read_to_string(lab.directory().join("token"))?;
    let total: u64 = outcomes.values().sum();
    let shown = browse(
        lab,
        &[
            &format!("open http://{PAGE}/#{}", token.trim()),
            &format!("until at('total').textContent.replaceAll(',', '') === '{total}'"),
            &format!("say {}", ROWS.replace("ID", "'outcomes'")),
            &format!("say {}", ROWS.replace("ID", "'targets'")),
            "say at('errors').textContent",
        ],
    )?;
    let number = |text: &str| text.replace(',', "").parse::<u64>().context(text.to_owned());
    let [rows, targets, errors, console] = &shown[..] else { anyhow::bail!("{shown:?}") };
    let rows: Vec<Vec<String>> = serde_json::from_value(rows.clone())?;
    let rows = rows.iter().filter_map(|row| Some((row.first()?.replace(' ', "_"), row.get(1)?)));
    let rows: BTreeMap<_, _> = rows
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, count)| Ok((name, number(count)?)))
        .collect::<Result<_>>()?;
    assert_eq!(&rows, outcomes, "each outcome by itself");
    let is_error = |name: &&String| !["ok", "relayed", "client_aborted"].contains(&name.as_str());
    let sum: u64 = outcomes.iter().filter(|it| is_error(&it.0)).map(|it| it.1).sum();
    assert_eq!(number(errors.as_str().context("text")?)?, sum);
    let targets: Vec<Vec<String>> = serde_json::from_value(targets.clone())?;
    // Pool, target, state, share, weight, under way, latency; then good, 5xx, failed.
    let shown =
        targets.iter().skip(1).map(|row| Ok((row[1].clone(), [7, 8, 9].map(|at| row[at].clone()))));
    let shown: BTreeMap<String, [String; 3]> = shown.collect::<Result<_>>()?;
    let pools = told["pools"].as_array().into_iter().flatten();
    for target in pools.flat_map(|pool| pool["targets"].as_array().into_iter().flatten()) {
        let name = target["name"].as_str().context("a name")?;
        let counts = shown.get(name).with_context(|| format!("{name} in {targets:?}"))?;
        for (shown, kind) in counts.iter().zip(["good", "errors", "failures"]) {
            assert_eq!(Some(number(shown)?), target["exchanges"][kind].as_u64(), "{name}: {kind}");
        }
    }
    println!("the page shows {rows:?}");
    assert_eq!(console, &serde_json::json!([]));
    Ok(())
}

#[test]
fn clients_metrics_status_and_the_page_tell_the_same_numbers() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _broken = breaks_off(bad(1))?;
        let _hangs = hangs(bad(2))?;
        let sections = [
            domain("broken", bad(1)),
            domain("hangs", bad(2)),
            domain("gone", nobody()),
            HALF.to_owned(),
            "[targets.health_check]\nenabled = false\nmax_failures = 0\nmin_success = 0\n"
                .to_owned(),
            format!("[admin]\ntoken_file = \"{}\"\n", lab.directory().join("token").display()),
        ];
        let config = Site::config().monitoring("").page().sections(&sections.concat());
        let dispa = site.dispa(&config)?;
        plain_traffic(&site)?;
        let expected = mixed_traffic(&site)?;
        let scrape = until(SOON, "every exchange to be counted", || {
            let scrape = Scrape::now().ok()?;
            (scrape.by("dispa_requests_total", "outcome") == expected).then_some(scrape)
        });
        let scrape = scrape.with_context(|| {
            let now = Scrape::now().map(|it| it.by("dispa_requests_total", "outcome"));
            format!("{now:?}, not {expected:?}")
        })?;
        let told = status(lab, &site, &config)?;
        assert_eq!(told["outcomes"], serde_json::to_value(&expected)?);
        page_agrees(lab, &told, &expected)?;
        errors_agree(&scrape, &expected);
        doors_and_protocols_agree(&scrape);
        targets_agree(&scrape, &site);
        kernel_and_dns_are_there(&scrape)?;
        dispa.stop()?;
        Ok(())
    })
}

/// Series that may come with the first of a kind of traffic, whatever the hosts are.
const FIRST_OF_A_KIND: usize = 4;

#[test]
fn labels_stay_few_whatever_hosts_are_asked_for() -> Result<()> {
    const EACH: u64 = 50_000;
    Lab::run(|lab| {
        let _backend = HttpServer::start("backend", &[Stage::BACKEND])?;
        let stage = Stage::start(lab, &Stage::config().monitoring(""))?;
        let before = Scrape::now()?;
        let mut client = Client::connect(Stage::DOOR)?;
        for number in 0..EACH {
            let answer = client.get(&format!("h{number}.stage.test"), &format!("/p{number}"))?;
            ensure!(answer.status == 200, "{answer:?}");
        }
        for number in 0..EACH {
            let host = format!("h{number}.elsewhere.test");
            let refused = client.get(&host, "/").or_else(|_| {
                client = Client::connect(Stage::DOOR)?;
                client.get(&host, "/")
            })?;
            ensure!(refused.status == 404, "{refused:?}");
        }
        let after = until(SOON, "all to be counted", || {
            let after = Scrape::now().ok()?;
            let ended = |it: &Scrape| it.count("dispa_requests_total", &[]);
            (ended(&after) >= ended(&before) + 2 * EACH).then_some(after)
        })?;
        let series = (before.len(), after.len());
        println!("{series:?} series before and after {} hosts", 2 * EACH);
        ensure!(series.1 <= series.0 + FIRST_OF_A_KIND, "{series:?}");
        ensure!(!after.text.contains("elsewhere") && !after.text.contains("/p1"), "{}", after.text);
        assert_eq!(after.count("dispa_rule_requests_total", &[("rule", "*.stage.test")]), EACH);
        drop(stage);
        Ok(())
    })
}

#[test]
fn a_daemon_is_watched_by_default_and_its_illness_is_seen() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let config = Site::config_of_one().monitoring("").sections(PROBES);
        let dispa = site.dispa(&config)?;
        let ask = |path: &str| Client::connect(Scrape::HEALTH)?.get("localhost:8081", path);
        // What the manual's users type, and what Docker is told to.
        let told = site.curl(&["http://localhost:8081/health"])?;
        ensure!(
            told.contains("\"status\":\"healthy\"")
                && told.contains("\"proxy_server\":\"healthy\"")
        );
        ensure!(site.curl(&["http://localhost:9090/metrics"])?.contains("\ndispa_target_healthy{"));
        let [one, _two, _three] = site.backends;
        drop(one);
        dispa.record("unhealthy", &[("target", "one")])?;
        let answer = ask("/health")?;
        ensure!(answer.status == 503 && answer.text().contains("\"load_balancer\":\"unhealthy\""));
        ensure!(ask("/-/ready")?.status == 200 && ask("/-/healthy")?.status == 200);
        let scrape = Scrape::now()?;
        assert_eq!(scrape.count("dispa_target_healthy", &[("target", "one")]), 0);
        assert_eq!(scrape.count("dispa_target_health_changes_total", &[("to", "down")]), 1);
        assert_eq!(scrape.count("dispa_pool_targets_healthy", &[]), 0);

        // A reload that is refused, and one that is not.
        let text = config.text(site.cgroup.path());
        fs::write(dispa.file(), text.replace("workers = 2", "workers = 0"))?;
        dispa.signal(Signal::SIGHUP)?;
        until(SOON, "the reload to be refused", || {
            let scrape = Scrape::now().ok()?;
            (scrape.count("dispa_config_last_reload_successful", &[]) == 0).then_some(())
        })?;
        fs::write(dispa.file(), text)?;
        dispa.signal(Signal::SIGHUP)?;
        until(SOON, "the reload to count", || {
            let scrape = Scrape::now().ok()?;
            let ok = scrape.count("dispa_config_reloads_total", &[("result", "ok")]);
            (ok >= 1 && scrape.count("dispa_config_last_reload_successful", &[]) == 1).then_some(())
        })?;
        Ok(())
    })
}

#[test]
fn a_port_that_is_taken_ends_only_the_start_of_who_asked_for_it() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _taken = std::net::TcpListener::bind(Scrape::METRICS)?;
        let dispa = site.dispa(&Site::config_of_one().monitoring(""))?;
        dispa.record("not served", &[("serves", "metrics")])?;
        ensure!(
            site.curl(&["http://localhost:8081/health"])?
                .contains("\"metrics_collector\":\"disabled\"")
        );
        ensure!(site.curl(&["http://example.com/"])? == "one", "it works all the same");
        dispa.stop()?;
        for asked in ["metrics_port = 9090", "enabled = true", "bind_address = \"127.0.0.1\""] {
            let config = Site::config_of_one().monitoring(asked);
            let binary = Dispa::binary()?;
            let told = run(&mut Dispa::command(&binary, lab, &site.cgroup, &config)?, SOON)?;
            assert_eq!(told.code(), Some(2), "{asked}");
            ensure!(told.stderr().contains("with monitoring.metrics_port"), "{}", told.stderr());
        }
        Ok(())
    })
}

/// What 99 of 100 scrapes must be faster than, on a machine that does nothing else.
const FAST: Duration = Duration::from_millis(20);

#[test]
fn a_scrape_under_load_is_quick() -> Result<()> {
    const SCRAPES: usize = 100;
    Lab::run(|lab| {
        let _backend = HttpServer::start("backend", &[Stage::BACKEND])?;
        let stage = Stage::start(lab, &Stage::config().monitoring(""))?;
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let load = std::thread::spawn(move || {
            let mut client = Client::connect(Stage::DOOR)?;
            let mut requests = 0_u64;
            while receiver.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                client.get(Stage::HOST, "/")?;
                requests += 1;
            }
            anyhow::Ok(requests)
        });
        let mut taken = Vec::with_capacity(SCRAPES);
        for _ in 0..SCRAPES {
            let begun = Instant::now();
            Scrape::now()?;
            taken.push(begun.elapsed());
            sleep(Duration::from_millis(5));
        }
        drop(sender);
        let requests = load.join().expect("no panic")?;
        taken.sort();
        println!("{requests} requests; scrapes: median {:?}, p99 {:?}", taken[50], taken[98]);
        // Whatever else runs on this machine: the median tells what a scrape takes.
        ensure!(taken[SCRAPES / 2] < FAST, "{taken:?}");
        drop(stage);
        Ok(())
    })
}

#[test]
fn only_those_who_are_let_in_can_ask() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _dispa = site.dispa(&Site::config_of_one().monitoring(""))?;
        let IpAddr::V4(outside) = Site::V4 else { unreachable!("it is IPv4") };
        ensure!(std::net::TcpStream::connect((outside, 9090)).is_err(), "loopback only");
        ensure!(std::net::TcpStream::connect((outside, 8081)).is_err(), "loopback only");
        Ok(())
    })
}
