//! A hundred reloads under load: nothing fails, nothing is closed, nothing is left behind.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{EchoSocket, Site, echo_backend, http1::Client};
use dispa_lab::{Config, Dispa, Lab, Process, run, until};

const SOON: Duration = Duration::from_secs(30);

const RELOADS: u32 = 100;
/// Between two of them: three times as many in a minute as an eager deployment makes.
const PAUSE: Duration = Duration::from_millis(200);
const DOWNLOADS: usize = 20;
const WEBSOCKETS: usize = 20;
/// Clients of the explicit door, and programs that are intercepted.
const CLIENTS: usize = 3;
const PROGRAMS: usize = 2;

const ECHO: &str = "echo.test";

/// Weights that differ from turn to turn, and a domain that comes and goes.
fn config(turn: u32, echo: SocketAddr) -> Config {
    let mut domains = vec![Site::NAME, Site::DOOR];
    if turn % 2 == 1 {
        domains.push("comes-and-goes.test");
    }
    Config::new(&domains)
        .balancing("weighted")
        .weighted_target("one", Site::backend(1), turn % 5 + 1)
        .weighted_target("two", Site::backend(2), 1)
        // What is kept afterwards would be counted.
        .sections("[targets.connections]\nmax_idle_per_target = 0")
        .sections(&format!(
            "[[backends]]\nid = \"echo\"\naddress = \"{echo}\"\ntags = [\"echo\"]\n\
             [[virtual_hosts]]\ndomain = \"{ECHO}\"\nenabled_backends_tag = \"echo\""
        ))
}

/// Puts a configuration where the daemon's is, in one step, and has it count.
fn reload(dispa: &Dispa, site: &Site<'_>, config: &Config) -> Result<()> {
    let new = dispa.file().with_extension("new");
    fs::write(&new, config.text(site.cgroup.path()))?;
    fs::rename(new, dispa.file())?;
    let mut command = Command::new(Dispa::binary()?);
    run(command.args(["reload", "--wait", "-c"]).arg(dispa.file()), SOON)?.success().map(drop)
}

/// Slots that stand for a destination.
fn slots(dispa: &Dispa) -> Result<u64> {
    let mut command = Command::new(Dispa::binary()?);
    let told = run(command.args(["status", "--json", "-c"]).arg(dispa.file()), SOON)?.success()?;
    let status: serde_json::Value = serde_json::from_str(&told)?;
    status["kernel"]["slots_in_use"].as_u64().context("no slots in the status")
}

/// Descriptors that the daemon has.
fn descriptors(dispa: &Dispa) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{}/fd", dispa.id()))?.count())
}

fn connect(request: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(Config::EXPLICIT_DOOR)?;
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(request.as_bytes())?;
    Ok(stream)
}

/// A download that takes as long as it is left to.
struct Download {
    stream: TcpStream,
    got: usize,
}

impl Download {
    const BYTES: usize = 4_000_000;

    fn begin() -> Result<Self> {
        let mut stream = connect("GET /bytes/4000000 HTTP/1.1\r\nhost: door.test\r\n\r\n")?;
        let mut first = [0; 1_000];
        stream.read_exact(&mut first)?;
        Ok(Self { stream, got: first.len() })
    }

    /// A little more of it.
    fn goes_on(&mut self) -> Result<()> {
        let mut piece = [0; 1_000];
        self.stream.read_exact(&mut piece).context("a download was cut")?;
        self.got += piece.len();
        Ok(())
    }

    fn ends(mut self) -> Result<()> {
        let mut rest = vec![0; Self::BYTES - self.got];
        self.stream.read_exact(&mut rest).context("a download was cut")
    }
}

/// A program that is intercepted: it asks about 170 times a second, on connections of 20 requests, and
/// fails at whatever is not as it should be. It ends when its input does, and says how often it asked.
const PROGRAM: &str = "
import http.client, sys, threading, time
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
made = 0
while not over.is_set():
    connection = http.client.HTTPConnection('example.com', timeout=30)
    for _ in range(20):
        connection.request('GET', '/')
        answer = connection.getresponse()
        body = answer.read().decode().strip()
        assert answer.status == 200 and body in ('one', 'two'), (answer.status, body)
        made += 1
        time.sleep(0.006)
    connection.close()
print(made)
";

/// Asks the explicit door, as the programs ask theirs.
fn ask_until(is_over: &AtomicBool) -> Result<usize> {
    let mut made = 0;
    while !is_over.load(Ordering::Relaxed) {
        let mut client = Client::connect(Config::EXPLICIT_DOOR)?;
        for _ in 0..20 {
            let answer = client.get(Site::DOOR, "/")?;
            ensure!(answer.status == 200 && answer.whole, "{answer:?}");
            made += 1;
            thread::sleep(Duration::from_millis(6));
        }
    }
    Ok(made)
}

/// All that stays open over every reload.
struct Open {
    downloads: Vec<Download>,
    websockets: Vec<EchoSocket>,
}

impl Open {
    fn begin() -> Result<Self> {
        Ok(Self {
            downloads: (0..DOWNLOADS).map(|_| Download::begin()).collect::<Result<_>>()?,
            websockets: (0..WEBSOCKETS).map(|_| EchoSocket::begin(ECHO)).collect::<Result<_>>()?,
        })
    }

    fn goes_on(&mut self, turn: u32) -> Result<()> {
        self.downloads.iter_mut().try_for_each(Download::goes_on)?;
        self.websockets.iter_mut().try_for_each(|it| it.says(turn))
    }

    fn ends(self) -> Result<()> {
        self.downloads.into_iter().try_for_each(Download::ends)
    }
}

#[test]
fn a_hundred_reloads_under_load_cost_nothing() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let address = SocketAddr::from(([127, 0, 0, 1], 3990));
        let _echo = echo_backend(address)?;
        let dispa = site.dispa(&config(0, address))?;
        Client::connect(Config::EXPLICIT_DOOR)?.get(Site::DOOR, "/")?;
        site.curl(&["http://example.com/"])?;
        let (before, slots_before) = (descriptors(&dispa)?, slots(&dispa)?);
        let mut open = Open::begin()?;
        let start = || {
            let mut python = site.cgroup.command("python3");
            Process::start(python.args(["-c", PROGRAM]))
        };
        let programs: Vec<Process> = (0..PROGRAMS).map(|_| start()).collect::<Result<_>>()?;
        let is_over = AtomicBool::new(false);
        let begun = Instant::now();
        let (asked, reloading) = thread::scope(|scope| {
            let asking: Vec<_> =
                (0..CLIENTS).map(|_| scope.spawn(|| ask_until(&is_over))).collect();
            let reloading = (1..=RELOADS).try_for_each(|turn| {
                reload(&dispa, &site, &config(turn, address))?;
                open.goes_on(turn)?;
                thread::sleep((begun + PAUSE * turn).saturating_duration_since(Instant::now()));
                anyhow::Ok(())
            });
            is_over.store(true, Ordering::Relaxed);
            let asked = asking.into_iter().map(|it| it.join().ok().context("a panic")?);
            anyhow::Ok((asked.sum::<Result<usize>>()?, reloading))
        })?;
        reloading?;
        let took = begun.elapsed();
        let mut intercepted = 0;
        for program in programs {
            intercepted += program.finish(SOON)?.success()?.trim().parse::<usize>()?;
        }
        open.ends()?;
        let done = dispa.records("reloaded").len();
        println!(
            "{done} reloads in {took:?}: {asked} requests at the explicit door and {intercepted} at \
             the other, {DOWNLOADS} downloads, {WEBSOCKETS} WebSockets"
        );
        // A change of the file may be seen as well.
        let refused = |message: &str| message.starts_with("the configuration stays as it is");
        ensure!(done >= usize::try_from(RELOADS)?, "{done} reloads");
        ensure!(!dispa.log().iter().any(|record| refused(record.message())));
        until(SOON, "as many descriptors as before", || {
            let now = descriptors(&dispa).ok()?;
            (now <= before).then_some(())
        })?;
        ensure!(slots(&dispa)? <= slots_before, "slots of domains that went stay");
        // What still ran would be waited for.
        let stopping = Instant::now();
        let stopped = dispa.stop()?;
        println!("stopped in {:?}", stopping.elapsed());
        assert_eq!(stopped.summary.count("slots_held"), Some(0));
        Ok(())
    })
}
