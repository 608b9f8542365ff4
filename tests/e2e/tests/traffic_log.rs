//! The traffic log: every exchange is in it, once, and none waits for it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{Accounts, Scrape, Site, Traffic, direct, http1::Client};
use dispa_lab::{Config, Dispa, Lab, run, until};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(30);

/// A record that the daemon has had for so long is where it belongs (`flush_interval_ms`).
const FLUSHED: Duration = Duration::from_secs(1);

const CLIENTS: usize = 4;
const REQUESTS: usize = 3_000;

/// Asks `count` times, each time for another path; when each was answered.
fn ask(name: &str, count: usize) -> Result<Vec<(String, Instant)>> {
    let mut client = Client::connect(Config::EXPLICIT_DOOR)?;
    let mut answered = Vec::with_capacity(count);
    for number in 0..count {
        let path = format!("/{name}/{number}");
        let answer = client.get(Site::NAME, &path)?;
        ensure!(answer.status == 200 && answer.whole, "{answer:?}");
        answered.push((path, Instant::now()));
    }
    Ok(answered)
}

/// [`ask`] by several clients at once.
fn ask_together(count: usize) -> Result<Vec<(String, Instant)>> {
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CLIENTS).map(|it| scope.spawn(move || ask(&it.to_string(), count))).collect();
        let mut all = Vec::new();
        for client in clients {
            all.extend(client.join().ok().context("a panic")??);
        }
        Ok(all)
    })
}

fn paths(records: &[Value]) -> BTreeSet<&str> {
    records.iter().filter_map(|it| it["path"].as_str()).collect()
}

fn texts(values: &[Value]) -> BTreeSet<&str> {
    values.iter().filter_map(Value::as_str).collect()
}

#[test]
fn every_exchange_is_in_files_and_database_once() -> Result<()> {
    Lab::run(|lab| {
        let (site, traffic) = (Site::new(lab)?, Traffic::new(lab, "traffic"));
        let dispa = site.dispa(&Site::config().sections(&traffic.sections("both", "")))?;
        let answered = ask_together(REQUESTS)?;
        site.curl(&["http://example.com/by-curl"])?;
        let stopped = dispa.stop()?;

        let count = answered.len() + 1;
        for sink in ["file", "database"] {
            let accounts = Accounts::at_the_end(&stopped, sink)?;
            println!("{sink}: {accounts:?}");
            ensure!(accounts.observed == count as u64 && accounts.written == count as u64);
        }
        let lines = traffic.lines()?;
        ensure!(lines.len() == count && paths(&lines).len() == count, "{} lines", lines.len());
        let rows = traffic.select("path")?;
        ensure!(rows.len() == count && texts(&rows) == paths(&lines), "{} rows", rows.len());
        traffic.check_integrity()?;

        let curl = lines.iter().find(|it| it["path"] == "/by-curl").context("curl's")?;
        println!("{curl}");
        for (field, value) in [
            ("host", "example.com"),
            ("door", "transparent"),
            ("method", "GET"),
            ("protocol", "http1"),
            ("rule", "example.com"),
            ("outcome", "ok"),
        ] {
            ensure!(curl[field] == value, "{field}: {curl}");
        }
        ensure!(curl["status_code"] == 200 && curl["attempts"] == 1 && curl["target"].is_string());
        ensure!(curl["first_byte_ms"].is_f64() && curl["request_bytes"] == 0, "{curl}");
        ensure!(curl["duration_ms"].as_f64() >= curl["first_byte_ms"].as_f64());
        ensure!(curl["response_bytes"].as_u64() > Some(0) && curl["pid"].is_u64(), "{curl}");
        ensure!(curl["process"] == "curl" && curl["uid"] == 0, "{curl}");
        ensure!(curl["executable"].as_str().is_some_and(|it| it.ends_with("/curl")), "{curl}");
        let name =
            site.cgroup.path().file_name().and_then(|name| name.to_str()).context("a name")?;
        ensure!(curl["cgroup"].as_str().is_some_and(|it| it.ends_with(name)), "{curl}");
        ensure!(curl["origin"].as_str().is_some_and(|it| it.ends_with(":80")), "{curl}");
        Ok(())
    })
}

#[test]
fn what_was_flushed_outlives_a_kill() -> Result<()> {
    Lab::run(|lab| {
        let (site, traffic) = (Site::new(lab)?, Traffic::new(lab, "traffic"));
        let config = Site::config().sections(&traffic.sections("both", ""));
        let dispa = site.dispa(&config)?;
        let asking = thread::spawn(|| {
            let mut answered = Vec::new();
            // Until the daemon is gone.
            for round in 0.. {
                match ask(&round.to_string(), 50) {
                    Ok(more) => answered.extend(more),
                    Err(_) => break,
                }
            }
            answered
        });
        thread::sleep(Duration::from_secs(4));
        let killed = Instant::now();
        dispa.kill()?;
        drop(dispa);
        let answered = asking.join().ok().context("a panic")?;
        let old = answered.iter().filter(|(_, at)| *at + FLUSHED < killed);
        let old: Vec<&str> = old.map(|(path, _)| path.as_str()).collect();
        println!("{} answered, {} of them more than {FLUSHED:?} before", answered.len(), old.len());
        ensure!(old.len() > 20);

        let again = site.dispa(&config)?;
        let accounts = again.stop()?;
        ensure!(Accounts::at_the_end(&accounts, "file")?.observed == 0);
        let (lines, rows) = (traffic.lines()?, traffic.select("path")?);
        traffic.check_integrity()?;
        for (place, found) in [("files", paths(&lines)), ("database", texts(&rows))] {
            let missing: Vec<_> = old.iter().filter(|path| !found.contains(**path)).collect();
            ensure!(missing.is_empty(), "{} are not in the {place}: {missing:?}", missing.len());
        }
        Ok(())
    })
}

/// A file system of few bytes, and a file that takes most of them.
struct SmallDisk {
    place: PathBuf,
    filler: PathBuf,
}

impl SmallDisk {
    fn mount(place: &Path, size: usize, filled: usize) -> Result<Self> {
        fs::create_dir_all(place)?;
        let size = format!("size={size}");
        mount(Some("small"), place, Some("tmpfs"), MsFlags::empty(), Some(size.as_str()))?;
        let disk = Self { place: place.to_owned(), filler: place.join("filler") };
        fs::write(&disk.filler, vec![0; filled])?;
        Ok(disk)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Otherwise the janitor complains.
        let _ = umount2(&self.place, MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_full_disk_costs_records_and_no_request() -> Result<()> {
    Lab::run(|lab| {
        let traffic = Traffic::new(lab, "traffic");
        let disk = SmallDisk::mount(&traffic.files(), 2 << 20, 1_500_000)?;
        let told = ["the traffic log cannot be written", "the traffic log is written again"];
        let accounts = fill(lab, &traffic, &disk, "file", told, "disk_full")?;
        let lines = traffic.lines()?;
        ensure!(lines.len() as u64 == accounts.written, "{} lines", lines.len());
        ensure!(paths(&lines).iter().filter(|path| path.starts_with("/after")).count() == 50);
        Ok(())
    })
}

#[test]
fn a_database_on_a_full_disk_costs_records_and_no_request() -> Result<()> {
    Lab::run(|lab| {
        let traffic = Traffic::new(lab, "traffic");
        let data = traffic.directory().join("data");
        let disk = SmallDisk::mount(&data, 8 << 20, 7_300_000)?;
        let told =
            ["the traffic log's database is away", "the traffic log's database is written again"];
        let accounts = fill(lab, &traffic, &disk, "database", told, "database_away")?;
        let rows = traffic.select("path")?;
        ensure!(rows.len() as u64 == accounts.written, "{} rows", rows.len());
        ensure!(texts(&rows).iter().filter(|path| path.starts_with("/after")).count() == 50);
        traffic.check_integrity()
    })
}

/// Asks until a thousand records of the sink are lost on its full disk, has room made, and asks again;
/// the accounts at the end, which must be those of all that was asked.
fn fill(
    lab: &Lab,
    traffic: &Traffic,
    disk: &SmallDisk,
    sink: &str,
    told: [&str; 2],
    reason: &str,
) -> Result<Accounts> {
    let site = Site::new(lab)?;
    let keys = "max_queue_size = 65536\nflush_interval_ms = 100";
    let dispa = site.dispa(&Site::config().sections(&traffic.sections(sink, keys)))?;
    let mut asked = 0;
    let full = loop {
        asked += ask_together(250)?.len() as u64;
        let accounts = Accounts::now(&dispa, sink)?;
        if accounts.dropped > 1_000 {
            break accounts;
        }
        ensure!(asked < 80_000, "{accounts:?}");
    };
    println!("full: {full:?}");
    let [away, again] = told;
    dispa.record(away, &[])?;
    let status = direct(Dispa::binary()?, &["status", "-c", &dispa.file().display().to_string()])?;
    ensure!(status.success()?.contains(reason), "{}", status.stdout());
    fs::remove_file(&disk.filler)?;
    dispa.record(again, &[])?;
    until(SOON, "nothing waits", || {
        let accounts = Accounts::now(&dispa, sink).ok()?;
        (accounts.queued + accounts.spilled == 0).then_some(())
    })?;
    let before = Accounts::now(&dispa, sink)?;
    asked += ask("after", 50)?.len() as u64;
    until(SOON, "they are written", || {
        (Accounts::now(&dispa, sink).ok()?.written == before.written + 50).then_some(())
    })?;
    let warned = dispa.records(away).len();
    let accounts = Accounts::at_the_end(&dispa.stop()?, sink)?;
    println!("{asked} asked: {accounts:?}; {warned} warnings");
    ensure!(accounts.observed == asked && accounts.written + accounts.dropped == asked);
    ensure!(warned == 1, "{warned} warnings");
    Ok(accounts)
}

const CANARY: &str = "c4n4ry-0f-s3cr3ts";

/// Sends these bytes on a connection of their own, and waits for its end.
fn send(bytes: impl AsRef<[u8]>) -> Result<()> {
    let mut client = Client::connect(Config::EXPLICIT_DOOR)?;
    client.send(bytes)?;
    client.rest().map(drop)
}

/// Requests with all that breaks lines, quotes, C strings and encodings; how many.
fn ask_hostilely() -> Result<u64> {
    let long = format!("/{}", "x".repeat(65_500));
    let longer = "x".repeat(64 << 10);
    let targets = [
        "/plain",
        "/%00%0a%22",
        "/\"quoted\"'",
        "/\u{e9}",
        "/{}[]\\|",
        "/?a=%00&b=\"",
        "/a?\u{e9}",
        &long,
        &longer,
        "*",
        "http://[",
        "/a b",
    ];
    let longest = format!("{}.test", "x".repeat(64 << 10));
    let hosts =
        ["example.com", "exa\"mple.com", "exa\0mple.com", "ex\u{e9}mple.com", "a\nb", &longest];
    let mut asked = 0;
    let requests = targets.iter().map(|target| (*target, "example.com"));
    for (target, host) in requests.chain(hosts.iter().map(|host| ("/", *host))) {
        send(format!(
            "GET {target} HTTP/1.1\r\nhost: {host}\r\nuser-agent: \u{e9}\"\t\r\n\
             connection: close\r\n\r\n"
        ))?;
        asked += 1;
    }
    send(
        b"GET /\xff\xfe HTTP/1.1\r\nhost: example.com\r\nuser-agent: \xff\r\nconnection: close\r\n\r\n",
    )?;
    Ok(asked + 1)
}

/// Requests with a secret in every place that is to be redacted; how many.
fn ask_secretly() -> Result<u64> {
    let hosts = ["example.com", "nobody.test"];
    for host in hosts {
        send(format!(
            "GET /secret?a=1&token={CANARY}&to%6Ben={CANARY} HTTP/1.1\r\nhost: {host}\r\n\
             authorization: Bearer {CANARY}\r\ncookie: a={CANARY}; b={CANARY}\r\n\
             x-secret: {CANARY}\r\nproxy-authorization: {CANARY}\r\n\
             referer: http://a.test/?TOKEN={CANARY}\r\nx-other: {CANARY}\r\nconnection: close\r\n\r\n"
        ))?;
    }
    Ok(hosts.len() as u64)
}

#[test]
fn whatever_is_asked_for_is_one_record_and_no_secret_is_in_it() -> Result<()> {
    Lab::run(|lab| {
        let (site, traffic) = (Site::new(lab)?, Traffic::new(lab, "traffic"));
        let keys = "query = true\nredact = [\"token\", \"x-secret\"]\n\
                    headers = [\"authorization\", \"cookie\", \"x-secret\", \"referer\", \"user-agent\"]";
        let sections = traffic.sections("both", keys)
            + "[http]\nmax_target_bytes = 65534\nmax_header_bytes = 262144";
        let config = Site::config().monitoring("enabled = true").sections(&sections);
        let dispa = site.dispa(&config)?;
        let asked = ask_hostilely()? + ask_secretly()?;
        let file = dispa.file().display().to_string();
        let mut told = direct(Dispa::binary()?, &["status", "--json", "-c", &file])?.success()?;
        told += &direct(Dispa::binary()?, &["logs", "--json", "-c", &file])?.success()?;
        told += &Scrape::now()?.text;
        let stopped = dispa.stop()?;
        for sink in ["file", "database"] {
            let accounts = Accounts::at_the_end(&stopped, sink)?;
            println!("{asked} asked, {sink}: {accounts:?}");
            ensure!(accounts.observed == asked && accounts.written == asked);
        }
        let (lines, rows) = (traffic.lines()?, traffic.select("id")?);
        ensure!(lines.len() as u64 == asked && rows.len() as u64 == asked);
        ensure!(lines.iter().any(|it| it["path"] == "/plain"));
        let longest = lines.iter().filter_map(|it| it["path"].as_str()).map(str::len).max();
        ensure!(longest == Some(65_501), "{longest:?}");
        let secret = lines.iter().find(|it| it["path"] == "/secret").context("the secret one")?;
        println!("{secret}");
        ensure!(secret["query"] == "a=1&token=[redacted]&to%6Ben=[redacted]");
        for field in ["authorization", "cookie", "x-secret"] {
            ensure!(secret["headers"][field] == "[redacted]", "{field}");
        }

        ensure!(!told.contains(CANARY), "told");
        ensure!(!format!("{:?}", stopped.log).contains(CANARY), "in the log");
        for directory in [traffic.files(), traffic.directory().join("data")] {
            for entry in fs::read_dir(directory)? {
                let bytes = fs::read(entry?.path())?;
                let found = bytes.windows(CANARY.len()).any(|it| it == CANARY.as_bytes());
                ensure!(!found, "a secret was written");
            }
        }
        Ok(())
    })
}

#[test]
fn the_log_is_searched_with_a_daemon_and_without() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        for kind in ["file", "database"] {
            let traffic = Traffic::new(lab, kind);
            let nobody = "127.0.0.1:3999".parse()?;
            let config = Config::new(&[Site::NAME, "dead.test"]).target("one", Site::backend(1));
            let config = config.sections(
                &(traffic.sections(kind, "flush_interval_ms = 100")
                    + &format!(
                        "[[backends]]\nid = \"nobody\"\naddress = \"{nobody}\"\ntags = [\"b\"]\n\
                    [[virtual_hosts]]\ndomain = \"*.dead.test\"\nenabled_backends_tag = \"b\"",
                        nobody = std::net::SocketAddr::to_string(&nobody)
                    )),
            );
            let dispa = site.dispa(&config)?;
            ask("good", 250)?;
            let mut client = Client::connect(Config::EXPLICIT_DOOR)?;
            for _ in 0..7 {
                ensure!(client.get("www.dead.test", "/dead")?.status == 503);
            }
            until(SOON, "all are written", || {
                (Accounts::now(&dispa, kind).ok()?.written == 257).then_some(())
            })?;
            let file = dispa.file().to_owned();
            let logs = |arguments: &[&str]| -> Result<String> {
                let mut command = Command::new(Dispa::binary()?);
                run(command.arg("logs").arg("-c").arg(&file).args(arguments), SOON)?.success()
            };
            let dead = logs(&["--since", "1h", "--host", "*.dead.test", "--status", "5xx"])?;
            println!("{dead}\n{}", logs(&["--stats", "target"])?);
            ensure!(dead.lines().count() == 7 && dead.contains(" 503 GET www.dead.test/dead -> "));
            ensure!(logs(&["--until", "2024-01-01"])?.is_empty());
            ensure!(logs(&["--slower-than", "1h"])?.is_empty());
            let all = logs(&["--limit", "100000", "--json"])?;
            ensure!(all.lines().count() == 257, "{}", all.lines().count());
            ensure!(logs(&["--json"])?.lines().count() == 100);
            let stats: Value = serde_json::from_str(&logs(&["--stats", "--json"])?)?;
            ensure!(
                stats[0]["name"] == Site::NAME
                    && stats[0]["count"] == 250
                    && stats[0]["errors"] == 0
            );
            ensure!(stats[1]["count"] == 7 && stats[1]["error_rate"] == 1.0, "{stats}");
            ensure!(
                logs(&["--limit", "100000", "--json", "--no-daemon"])? == all,
                "without the daemon"
            );
            dispa.stop()?;
            ensure!(logs(&["--limit", "100000", "--json"])? == all, "after the daemon");
        }
        Ok(())
    })
}

#[test]
fn a_log_that_cannot_be_opened_is_told_in_one_line() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let occupied = lab.file("occupied", "a file")?.display().to_string();
        let not_a_database =
            lab.file("text.db", &"no database ".repeat(100))?.display().to_string();
        for (sections, names) in [
            (format!("[logging.file]\ndirectory = \"{occupied}/logs\""), "occupied/logs"),
            (format!("type = \"database\"\n[logging.database]\nurl = \"sqlite://{occupied}/traffic.db\""), "occupied/traffic.db"),
            (format!("type = \"database\"\n[logging.database]\nurl = \"sqlite://{not_a_database}\""), "text.db"),
            ("type = \"database\"\n[logging.database]\nurl = \"postgresql://dispa:c4n4ry@127.0.0.1:1/traffic\"".to_owned(), "postgresql://127.0.0.1:1/traffic"),
        ] {
            let config = Site::config().sections(&sections);
            let mut command = Dispa::command(&Dispa::binary()?, lab, &site.cgroup, &config)?;
            let finished = run(&mut command, SOON)?;
            finished.failure(3)?;
            let said = finished.stderr();
            let said: Vec<_> = said.lines().filter(|line| line.starts_with("dispa: ")).collect();
            println!("{said:?}");
            ensure!(said.len() == 1 && said[0].contains(names) && !said[0].contains("c4n4ry"), "{said:?}");
        }
        Ok(())
    })
}
