//! A pool under a steady load while one backend after another is killed, stopped and half broken.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail, ensure};
use dispa_e2e::{Server, Site};
use dispa_lab::{Config, Dispa, Lab, Process, Record};

const SOON: Duration = Duration::from_secs(30);

/// Threads of each of the two clients, and how often each of them asks: 500 requests a second.
const THREADS: usize = 8;
const PAUSE_MS: usize = 32;

/// What a backend may take, in seconds; a request has many times as long.
const TIMEOUT: u64 = 2;
/// Two probes in a row that take all their time, a second each, and the time before each, with
/// what chance adds.
const DETECTION: Duration = Duration::from_millis(4_200);
/// What may lie between a decision and its line in the log, on a busy machine.
const LOG_DELAY: Duration = Duration::from_millis(500);

const WELL: &str = "all well";
const KILLED: &str = "one killed";
const STOPPED: &str = "one stopped";
const HALF_BROKEN: &str = "one half broken";
const RECOVERING: &str = "recovering";
const WELL_AGAIN: &str = "all well again";

fn name(number: u16) -> String {
    format!("backend-{number}")
}

fn address(number: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 3700 + number))
}

/// An nginx that answers with its name; half of the time with 500, while there is a file `broken` of
/// that name. `/health` is always well.
fn start(lab: &Lab, number: u16) -> Result<Server> {
    let (address, name, broken) = (address(number), name(number), broken(lab, number));
    let servers = format!(
        "split_clients $request_id $half {{ 50% 500; * 200; }}
         server {{
             listen {address};
             location = /health {{ return 200 well; }}
             location / {{
                 set $code 200;
                 if (-f {broken}) {{ set $code $half; }}
                 if ($code = 500) {{ return 500 {name}; }}
                 return 200 {name};
             }}
         }}"
    );
    Server::nginx(lab, &servers, address)
}

fn broken(lab: &Lab, number: u16) -> String {
    lab.directory().join(format!("broken-{number}")).display().to_string()
}

fn config() -> Config {
    let config = Config::new(&[Site::NAME, Site::DOOR]).sections(
        "[targets.health_check]
            interval = 1
            timeout = 1
            healthy_threshold = 2
            unhealthy_threshold = 2
            path = \"/health\"
            ejection_time = 3",
    );
    (1..=3).fold(config, |config, number| {
        let config = config.target(&name(number), address(number));
        config.target_keys(&format!("timeout = {TIMEOUT}"))
    })
}

/// Since 1970, as the log has it.
fn now() -> Result<Duration> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}

/// How one request went.
#[derive(Clone, Debug)]
struct Request {
    begun: Duration,
    took: Duration,
    /// 0: there was no answer.
    status: u16,
    /// The body, or the error.
    text: String,
}

impl Request {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(4, ' ');
        let mut number = || words.next()?.parse().ok();
        let (begun, took, status) = (number()?, number()?, number()?);
        let text = words.next()?.to_owned();
        let status = u16::try_from(status).ok()?;
        Some(Self {
            begun: Duration::from_nanos(begun),
            took: Duration::from_nanos(took),
            status,
            text,
        })
    }

    fn has_failed(&self) -> bool {
        self.status != 200 || !self.text.starts_with("backend-")
    }

    fn ended(&self) -> Duration {
        self.begun + self.took
    }
}

/// A client at each door.
struct Clients([Process; 2]);

impl Clients {
    fn start(site: &Site<'_>) -> Result<Self> {
        let start = |address: SocketAddr, host: &str| {
            let mut command = site.cgroup.command(env!("CARGO_BIN_EXE_steady"));
            command.args([&address.to_string(), host, &THREADS.to_string(), &PAUSE_MS.to_string()]);
            Process::start(&mut command)
        };
        Ok(Self([
            start(Config::EXPLICIT_DOOR, Site::DOOR)?,
            start((Site::V4, 80).into(), Site::NAME)?,
        ]))
    }

    /// Waits until `who` has answered both a request begun at this time or later, and well.
    fn are_answered_by(&self, who: &str, since: Duration) -> Result<()> {
        for client in &self.0 {
            client.wait_for_line(SOON, |line| {
                let request = Request::parse(&line.text);
                request.is_some_and(|it| it.begun >= since && it.status == 200 && it.text == who)
            })?;
        }
        Ok(())
    }

    /// All requests, in the order in which they ended.
    fn end(self) -> Result<Vec<Request>> {
        let mut requests = Vec::new();
        for client in self.0 {
            let output = client.finish(SOON)?.success()?;
            let parsed = output.lines().map(|line| Request::parse(line).context(line.to_owned()));
            requests.extend(parsed.collect::<Result<Vec<_>>>()?);
        }
        requests.sort_by_key(Request::ended);
        Ok(requests)
    }
}

/// When a backend was disturbed, and when it was no more.
struct Disturbance {
    number: u16,
    begun: Duration,
    over: Duration,
}

/// What was done when.
#[derive(Default)]
struct Course {
    phases: Vec<(&'static str, Duration)>,
    disturbances: Vec<Disturbance>,
}

impl Course {
    fn phase(&mut self, name: &'static str) -> Result<Duration> {
        let now = now()?;
        self.phases.push((name, now));
        Ok(now)
    }

    fn disturbed(&mut self, number: u16, begun: Duration) -> Result<Duration> {
        let over = now()?;
        self.disturbances.push(Disturbance { number, begun, over });
        Ok(over)
    }

    /// The requests of each phase: those that ended in it.
    fn parts(&self, requests: &[Request]) -> Vec<(&'static str, Vec<Request>)> {
        let ends = self.phases.iter().skip(1).map(|(_, begun)| *begun).chain([Duration::MAX]);
        let within = |begun, end| {
            requests.iter().filter(move |it| (begun..end).contains(&it.ended())).cloned().collect()
        };
        self.phases
            .iter()
            .zip(ends)
            .map(|((name, begun), end)| (*name, within(*begun, end)))
            .collect()
    }
}

/// Goes through all phases, to the end of the clients. The time they take is the scenario itself.
fn go_through(
    lab: &Lab,
    [first, second, _third]: [Server; 3],
    dispa: &Dispa,
    clients: Clients,
) -> Result<(Course, Vec<Request>)> {
    let mut course = Course::default();
    let wait = |seconds| thread::sleep(Duration::from_secs(seconds));
    let healthy = |number| dispa.record("healthy", &[("target", &name(number))]);
    for number in 1..=3 {
        clients.are_answered_by(&name(number), Duration::ZERO)?;
    }

    course.phase(WELL)?;
    wait(8);

    let begun = course.phase(KILLED)?;
    drop(first);
    wait(6);
    let _first = start(lab, 1)?;
    let over = course.disturbed(1, begun)?;
    healthy(1)?;
    clients.are_answered_by(&name(1), over)?;
    wait(2);

    let begun = course.phase(STOPPED)?;
    let paused = second.pause()?;
    wait(9);
    drop(paused);
    let over = course.disturbed(2, begun)?;
    healthy(2)?;
    clients.are_answered_by(&name(2), over)?;
    wait(2);

    let begun = course.phase(HALF_BROKEN)?;
    let file = broken(lab, 3);
    fs::write(&file, "")?;
    wait(12);
    fs::remove_file(&file)?;
    course.phase(RECOVERING)?;
    let over = course.disturbed(3, begun)?;
    clients.are_answered_by(&name(3), over)?;

    course.phase(WELL_AGAIN)?;
    wait(10);
    Ok((course, clients.end()?))
}

/// Each backend's share of the requests that a backend answered, in percent.
fn shares(requests: &[Request]) -> [f64; 3] {
    let count = |who: &str| requests.iter().filter(|it| it.text == who).count();
    let counts = [1, 2, 3].map(|number| count(&name(number)));
    let all: usize = counts.iter().sum();
    counts.map(|count| percent(count, all))
}

fn percent(part: usize, whole: usize) -> f64 {
    let number = |count| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    100.0 * number(part) / number(whole.max(1))
}

fn print_phases(parts: &[(&str, Vec<Request>)]) {
    println!("phase            requests failed   backend 1      2      3     p50 ms   p99 ms");
    for (name, requests) in parts {
        let failed = requests.iter().filter(|it| it.has_failed()).count();
        let [one, two, three] = shares(requests);
        let mut times: Vec<_> = requests.iter().map(|it| it.took.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        let at =
            |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
        println!(
            "{name:16} {:8} {failed:6}      {one:5.1}% {two:5.1}% {three:5.1}% {:10.1} {:8.1}",
            requests.len(),
            at(50),
            at(99)
        );
        let mut failures = BTreeMap::<_, usize>::new();
        for request in requests.iter().filter(|it| it.has_failed()) {
            *failures.entry((request.status, request.text.as_str())).or_default() += 1;
        }
        for ((status, text), count) in failures {
            println!("  {count} times {status}: {text:?}");
        }
    }
}

/// Whether this record tells that a backend gets no more requests.
fn is_taken_out(record: &Record) -> bool {
    record.message() == "unhealthy" || record.message().starts_with("ejected")
}

/// The first record from this moment on that tells that this backend is out of use.
fn out_of_use(log: &[Record], number: u16, since: Duration) -> Option<(Duration, &Record)> {
    let fits = |record: &&Record| is_taken_out(record) && record.text("target") == name(number);
    let records = log.iter().filter(fits).filter_map(|it| Some((it.moment()?, it)));
    records.into_iter().find(|(moment, _)| *moment >= since)
}

/// When the requests were begun that this backend was the last one to get.
fn begun_at(log: &[Record], number: u16) -> Vec<Duration> {
    let exchanges = log.iter().filter(|it| it.message() == "exchange");
    let own = exchanges.filter(|it| it.text("target") == name(number));
    let begun = own.filter_map(|record| {
        let took = Duration::from_secs_f64(record.number("duration_ms")? / 1e3);
        record.moment()?.checked_sub(took)
    });
    begun.collect()
}

fn print_disturbances(course: &Course, log: &[Record]) {
    let seconds = |from: Duration, to: Option<Duration>| {
        to.map_or("- s".to_owned(), |to| format!("{:.2} s", to.saturating_sub(from).as_secs_f64()))
    };
    for Disturbance { number, begun, over } in &course.disturbances {
        let own = begun_at(log, *number);
        let out = out_of_use(log, *number, *begun).filter(|(moment, _)| moment < over);
        let last = own.iter().filter(|it| (begun..over).contains(it)).max().copied();
        let again = own.iter().filter(|it| *it >= over).min().copied();
        println!(
            "{}: out of use after {} ({}), last request begun after {}; again {} after it was well",
            name(*number),
            seconds(*begun, out.map(|(moment, _)| moment)),
            out.map_or("-", |(_, record)| record.message()),
            seconds(*begun, last),
            seconds(*over, again),
        );
    }
}

#[test]
fn a_pool_rides_out_a_killed_a_stopped_and_a_half_broken_backend() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let servers = [start(lab, 1)?, start(lab, 2)?, start(lab, 3)?];
        let dispa = site.dispa(&config())?;
        let clients = Clients::start(&site)?;
        let (course, requests) = go_through(lab, servers, &dispa, clients)?;
        let log = dispa.log();
        let parts = course.parts(&requests);
        print_phases(&parts);
        print_disturbances(&course, &log);

        ensure!(site.original.requests() == 0, "nothing goes astray");
        let part = |name| {
            let found = parts.iter().find(|(own, _)| *own == name);
            found.map(|(_, requests)| requests.as_slice()).context(name)
        };
        for name in [WELL, KILLED, STOPPED, WELL_AGAIN] {
            let failed = part(name)?.iter().find(|it| it.has_failed());
            ensure!(failed.is_none(), "{name}: {failed:?}");
        }
        let [_, stopped, half_broken] = &course.disturbances[..] else { bail!("not all was done") };
        let (out, _) =
            out_of_use(&log, 2, stopped.begun).context("the stopped one stays in use")?;
        let found_out = out.saturating_sub(stopped.begun);
        ensure!(found_out <= DETECTION + LOG_DELAY, "out of use after {found_out:?}");
        for name in [WELL, WELL_AGAIN] {
            let shares = shares(part(name)?);
            ensure!(shares.iter().all(|share| *share >= 20.0), "{name}: shares of {shares:?}");
        }
        gets_little(part(HALF_BROKEN)?, &log, half_broken.begun)
    })
}

/// Once it is ejected, the half-broken backend's share falls below a tenth.
fn gets_little(requests: &[Request], log: &[Record], begun: Duration) -> Result<()> {
    let (out, _) = out_of_use(log, 3, begun).context("the half-broken one stays in use")?;
    let after: Vec<_> = requests.iter().filter(|it| it.begun >= out + LOG_DELAY).cloned().collect();
    let [.., share] = shares(&after);
    ensure!(share < 10.0, "the half-broken one got {share:.1} % of {}", after.len());
    Ok(())
}
