//! `demo`: the main job, shown to someone new to it, offline and within seconds.
//!
//! An unmodified curl asks for a site that exists in a private lab only. Every line printed was
//! observed: in the daemon's log, in the kernel's own event, in what the servers saw, in what curl
//! wrote. What was to be observed and was not is an error.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dispa_lab::{Cgroup, Config, Dispa, DnsServer, HttpServer, Lab, Process, Record, Seen, until};

const NAME: &str = "example.com";
const URL: &str = "http://example.com/hello";

/// Where the site is, from the ranges kept for documentation (RFC 5737, RFC 3849).
const ADDRESSES: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x10, 0, 0, 0, 0, 0x10)),
];

/// What answers there, and after dispa has gone.
const ORIGINAL: &str = "the original site";

/// Name, port and weight of each backend.
const BACKENDS: [(&str, u16, u32); 3] = [("alpha", 3001, 3), ("beta", 3002, 2), ("gamma", 3003, 1)];

/// Divides by the sum of the weights, so that the shares are exact.
const REQUESTS: usize = 60;

/// One `#` of a share stands for this many requests.
const REQUESTS_PER_MARK: usize = 2;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Plays the show with this daemon.
pub(crate) fn run(dispa: &Path) -> Result<()> {
    let cgroup = Lab::run(|lab| {
        let stage = Stage::set(lab)?;
        stage.introduce();
        let daemon = Dispa::start_binary(dispa, lab, &stage.cgroup, &Stage::config())?;
        stage.one_request(&daemon)?;
        stage.many_requests(&daemon)?;
        stage.without(daemon)?;
        Ok(stage.cgroup.path().to_owned())
    })?;
    ensure!(!cgroup.exists(), "{} was left behind", cgroup.display());
    println!("\nThe lab is gone again: its namespaces, its cgroup and all that ran in them.");
    Ok(())
}

/// The site, its backends, and the cgroup whose programs are intercepted.
struct Stage {
    cgroup: Cgroup,
    dns: DnsServer,
    original: HttpServer,
    backends: Vec<HttpServer>,
}

impl Stage {
    fn set(lab: &Lab) -> Result<Self> {
        ADDRESSES.iter().try_for_each(|address| lab.address(*address))?;
        let dns = DnsServer::start()?;
        dns.set(NAME, &ADDRESSES, 60);
        let original = HttpServer::start(ORIGINAL, &ADDRESSES.map(|address| (address, 80).into()))?;
        let backends = BACKENDS.map(|(name, port, _)| HttpServer::start(name, &[local(port)]));
        let backends = backends.into_iter().collect::<Result<_>>()?;
        Ok(Self { cgroup: Cgroup::new()?, dns, original, backends })
    }

    fn config() -> Config {
        let config = Config::new(&[NAME]).balancing("weighted").kernel_events();
        BACKENDS.iter().fold(config, |config, (name, port, weight)| {
            config.weighted_target(name, local(*port), *weight)
        })
    }

    fn introduce(&self) {
        println!("A private network, made for this show. In it, {NAME} is a site that answers");
        println!("\"{}\". dispa is to have three backends answer instead:\n", self.original.name());
        for ((_, port, weight), backend) in BACKENDS.iter().zip(&self.backends) {
            println!("  {:<8} http://{}  weight {weight}", backend.name(), local(*port));
        }
    }

    /// One request, followed from the name to the answer.
    fn one_request(&self, daemon: &Dispa) -> Result<()> {
        println!("\ndispa is attached to one cgroup. In it, a curl that knows nothing of it:\n");
        let curl = Curl::hello(&self.cgroup)?;
        curl.print();
        let walk = Walk::of(daemon, &curl)?;
        let seen = self.seen_by(&curl.body)?;
        ensure!(self.original.requests() == 0, "the request reached the original site");
        println!("\nHow that came about:\n");
        walk.print(&curl, &seen, self.dns.questions(NAME));
        Ok(())
    }

    /// The one request that the backend of this name has seen.
    fn seen_by(&self, name: &str) -> Result<Seen> {
        let backend = self.backends.iter().find(|backend| backend.name() == name);
        let backend = backend.with_context(|| format!("{name:?} answered, which is no backend"))?;
        let seen = backend.seen();
        ensure!(seen.len() == 1, "{name} was to see one request and saw {seen:?}");
        Ok(seen[0].clone())
    }

    /// Many requests, and who answered how many: by what curl got, by what the servers saw, and by
    /// what dispa logged.
    fn many_requests(&self, daemon: &Dispa) -> Result<()> {
        let url = format!("http://{NAME}/[1-{REQUESTS}]");
        println!("\n  $ curl '{url}'\n");
        let before = self.requests();
        let curl = Process::start(self.cgroup.command("curl").args(["-sS", &url]))?;
        let bodies = curl.finish(TIMEOUT)?.success()?;
        // The first request has its record too.
        let logged = until(TIMEOUT, "all records", || {
            Some(daemon.records("exchange")).filter(|records| records.len() > REQUESTS)
        })?;
        for (number, (name, _, weight)) in BACKENDS.iter().enumerate() {
            let got = bodies.lines().filter(|body| body == name).count();
            let saw = self.requests()[number] - before[number];
            let records = logged.iter().filter(|record| record.text("target") == *name).count();
            ensure!(got == saw, "{name} answered {got} requests and saw {saw}");
            ensure!(records == self.requests()[number], "{name}: {records} records");
            ensure!(got == expected(*weight), "{name}, of weight {weight}, got {got} requests");
            print_share(name, got);
        }
        Ok(())
    }

    fn requests(&self) -> Vec<usize> {
        self.backends.iter().map(HttpServer::requests).collect()
    }

    /// What the same program gets once dispa has stopped.
    fn without(&self, daemon: Dispa) -> Result<()> {
        let summary = daemon.stop()?.summary;
        let count = |field| summary.count(field).with_context(|| format!("no {field} in the log"));
        let redirected = count("redirected_v4")? + count("redirected_v6")?;
        ensure!(redirected >= 2, "the kernel redirected {redirected} connections");
        ensure!(count("slots_held")? == 0, "a slot is still held: {summary:?}");
        println!("\ndispa stops. The kernel had redirected {redirected} connections. And now:\n");

        let curl = Curl::hello(&self.cgroup)?;
        curl.print();
        ensure!(curl.body == ORIGINAL, "{:?} answered instead of the original site", curl.body);
        ensure!(self.original.requests() == 1, "the original site saw another request");
        Ok(())
    }
}

/// What curl said of its one request.
struct Curl {
    process: u32,
    body: String,
    peer: SocketAddr,
    status: u64,
    seconds: f64,
}

impl Curl {
    /// Asks for [`URL`], as anyone would: no proxy, no variables, no addresses.
    fn hello(cgroup: &Cgroup) -> Result<Self> {
        let format = "%{remote_ip} %{remote_port} %{http_code} %{time_total}\n";
        let curl = Process::start(cgroup.command("curl").args(["-sS", "-w", format, URL]))?;
        let process = curl.id();
        let output = curl.finish(TIMEOUT)?.success()?;
        let (body, facts) = output.split_once('\n').context("curl wrote one line only")?;
        let [ip, port, status, seconds] = facts.split(' ').collect::<Vec<_>>()[..] else {
            anyhow::bail!("curl wrote {facts:?}");
        };
        Ok(Self {
            process,
            body: body.to_owned(),
            peer: SocketAddr::new(ip.parse()?, port.parse()?),
            status: status.parse()?,
            seconds: seconds.parse()?,
        })
    }

    fn print(&self) {
        println!("  $ curl {URL}\n  {}", self.body);
    }
}

/// What the daemon's log holds of that request, the kernel's own event included.
struct Walk {
    resolver: String,
    addresses: Vec<String>,
    door: String,
    origin: String,
    slot: u64,
    outcome: String,
    rule: String,
    milliseconds: f64,
}

impl Walk {
    /// Collects what belongs to curl's request, and checks that all of it fits together.
    fn of(daemon: &Dispa, curl: &Curl) -> Result<Self> {
        let question = event(daemon, curl, "dns_")?;
        let connect = event(daemon, curl, "redirected_")?;
        let exchange = daemon.record("exchange", &[("host", NAME), ("path", "/hello")])?;
        let walk = Self {
            resolver: question.text("origin").to_owned(),
            addresses: learned(daemon),
            door: door(daemon, curl.peer)?,
            origin: connect.text("origin").to_owned(),
            slot: connect.count("slot").context("the kernel told no slot")?,
            outcome: connect.text("outcome").to_owned(),
            rule: exchange.text("rule").to_owned(),
            milliseconds: exchange.number("duration_ms").context("no duration in the log")?,
        };
        walk.check(curl, &exchange)?;
        Ok(walk)
    }

    fn check(&self, curl: &Curl, exchange: &Record) -> Result<()> {
        let Self { addresses, origin, rule, .. } = self;
        let address = curl.peer.ip().to_string();
        ensure!(addresses.contains(&address), "dispa learned {addresses:?}, not {address}");
        ensure!(*origin == curl.peer.to_string(), "the kernel saw {origin}, curl {}", curl.peer);
        ensure!(exchange.text("origin") == origin, "the kernel saw {origin}, dispa {exchange:?}");
        ensure!(!rule.is_empty(), "no rule in {exchange:?}");
        ensure!(exchange.text("target") == curl.body, "{} answered, not {exchange:?}", curl.body);
        ensure!(exchange.count("status") == Some(curl.status), "curl got {}", curl.status);
        Ok(())
    }

    fn print(&self, curl: &Curl, seen: &Seen, questions: usize) {
        let Self { resolver, addresses, door, origin, slot, outcome, rule, milliseconds } = self;
        let addresses = addresses.join(" and ");
        step("name", &format!("curl asks {resolver}; the kernel hands the question to dispa,"));
        step("", &format!("which relays it ({questions} questions so far, its own included)"));
        step("", &format!("and learns that {NAME} is at {addresses}"));
        step("connect", &format!("curl, process {}, asks for {origin}", curl.process));
        step("", &format!("the kernel rewrites it to slot {slot}, door {door} ({outcome})"));
        step("", &format!("curl goes on seeing {} as its peer", curl.peer));
        step("host", &format!("Host \"{}\" matches the rule {rule}", seen.host));
        step(
            "backend",
            &format!("{} is chosen, and sees {} {}", curl.body, seen.method, seen.path),
        );
        step("answer", &format!("{} after {milliseconds:.1} ms in dispa", curl.status));
        step("", &format!("and {:.1} ms for curl, its resolving included", curl.seconds * 1000.0));
    }
}

/// What the kernel did with the first of curl's connections and questions that ended so.
fn event(daemon: &Dispa, curl: &Curl, outcome: &str) -> Result<Record> {
    daemon.wait_for(TIMEOUT, |record| {
        record.message() == "connect"
            && record.count("process") == Some(curl.process.into())
            && record.text("outcome").starts_with(outcome)
    })
}

/// The addresses dispa learned for the site.
fn learned(daemon: &Dispa) -> Vec<String> {
    let records = daemon.records("learned").into_iter();
    let own = records.filter(|record| record.text("name") == NAME);
    own.map(|record| record.text("address").to_owned()).collect()
}

/// The transparent door for the family of `origin`, as the daemon logged it.
fn door(daemon: &Dispa, origin: SocketAddr) -> Result<String> {
    let doors = daemon.records("listening").into_iter();
    let mut doors = doors.filter(|record| record.text("door") == "transparent");
    let of_family = doors.find(|record| {
        let address = record.text("address").parse::<SocketAddr>();
        address.is_ok_and(|address| address.is_ipv4() == origin.is_ipv4())
    });
    Ok(of_family.context("no transparent door in the log")?.text("address").to_owned())
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// The share of all requests that a backend of this weight must get.
fn expected(weight: u32) -> usize {
    let sum: u32 = BACKENDS.iter().map(|(_, _, weight)| weight).sum();
    REQUESTS * weight as usize / sum as usize
}

fn step(label: &str, text: &str) {
    println!("  {label:<8} {text}");
}

fn print_share(name: &str, count: usize) {
    let marks = "#".repeat(count / REQUESTS_PER_MARK);
    println!("  {name:<8} {count:>3} of {REQUESTS}  {marks}");
}
