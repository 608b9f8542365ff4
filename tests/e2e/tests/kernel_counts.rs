//! What the kernel counts for each backend is what the backend itself sees, to the byte.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::Site;
use dispa_lab::{
    Cgroup, Config, Dispa, Lab, Line, Process, Record, Stopped, TcpServer, run, until,
};
use nix::sys::signal::Signal;

const SOON: Duration = Duration::from_secs(30);

const CLIENTS: usize = 8;
const EXCHANGES: usize = 10_000;
/// From nothing over one segment to more than any buffer holds.
const SIZES: [u64; 8] = [0, 1, 100, 1_447, 1_460, 16_384, 65_537, 200_001];
const DOWNLOAD: u64 = 1_000_000_000;
const UPLOAD: u64 = 100_000_000;

/// Nothing but what the tests do, and no verdicts.
const NO_PROBES: &str = "[targets.health_check]\nenabled = false\nmax_failures = 0";

fn address(number: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 3700 + number))
}

/// What one backend has seen on all its sockets.
#[derive(Debug, Default)]
struct Seen {
    read: AtomicU64,
    written: AtomicU64,
    open: AtomicU64,
}

/// A socket whose every byte is counted.
struct Counted<'a> {
    stream: &'a TcpStream,
    seen: &'a Seen,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.seen.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Write for Counted<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.stream.write(buffer)?;
        self.seen.written.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Answers `/N` with N bytes; every request whose path ends in `?close` is the connection's last.
fn backend(number: u16) -> Result<(TcpServer, Arc<Seen>)> {
    let seen = Arc::new(Seen::default());
    let shared = Arc::clone(&seen);
    let server = TcpServer::start(&[address(number)], move |connection| {
        shared.open.fetch_add(1, Ordering::Relaxed);
        let served = serve(&connection.stream, &shared);
        shared.open.fetch_sub(1, Ordering::Relaxed);
        served
    })?;
    Ok((server, seen))
}

fn serve(stream: &TcpStream, seen: &Seen) -> io::Result<()> {
    let mut reader = BufReader::new(Counted { stream, seen });
    let mut writer = Counted { stream, seen };
    loop {
        let Some((path, length)) = head(&mut reader)? else { return Ok(()) };
        io::copy(&mut (&mut reader).take(length), &mut io::sink())?;
        let (size, closes) = match path.strip_suffix("?close") {
            Some(size) => (size, true),
            None => (path.as_str(), false),
        };
        let size: u64 = size.parse().map_err(io::Error::other)?;
        let close = if closes { "connection: close\r\n" } else { "" };
        write!(writer, "HTTP/1.1 200 OK\r\n{close}content-length: {size}\r\n\r\n")?;
        io::copy(&mut io::repeat(b'x').take(size), &mut writer)?;
        if closes {
            return Ok(());
        }
    }
}

/// The path without its slash (of an answer: anything), and the length of the body.
fn head(reader: &mut impl io::BufRead) -> io::Result<Option<(String, u64)>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let path = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let mut length = 0;
    for line in reader.lines() {
        let line = line?;
        if line.is_empty() {
            return Ok(Some((path, length)));
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    Ok(None)
}

/// A client's kept connection to the explicit door.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new() -> Result<Self> {
        let stream = TcpStream::connect(Config::EXPLICIT_DOOR)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SOON))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends `length` bytes, and takes what `path` asks for.
    fn exchange(&mut self, path: &str, length: u64) -> Result<()> {
        let stream = self.0.get_mut();
        let name = Site::DOOR;
        write!(
            stream,
            "POST /{path} HTTP/1.1\r\nhost: {name}\r\ncontent-length: {length}\r\n\r\n"
        )?;
        io::copy(&mut io::repeat(b'x').take(length), stream)?;
        let (status, length) = head(&mut self.0)?.context("no answer")?;
        ensure!(status == "200", "{path}: {status}");
        let taken = io::copy(&mut (&mut self.0).take(length), &mut io::sink())?;
        ensure!(taken == length, "{path}: {taken} of {length}");
        Ok(())
    }
}

/// Many small exchanges over kept connections, some of which the backend closes.
fn exchange_many() -> Result<()> {
    thread::scope(|scope| {
        let client = |number: usize| {
            move || {
                let mut client = Client::new()?;
                for turn in 0..EXCHANGES / CLIENTS {
                    let size = SIZES[(turn + number) % SIZES.len()];
                    let length = SIZES[(turn * 3 + number) % SIZES.len()];
                    let close = if turn % 50 == 49 { "?close" } else { "" };
                    client.exchange(&format!("{size}{close}"), length)?;
                }
                anyhow::Ok(())
            }
        };
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(client(number))).collect();
        clients.into_iter().try_for_each(|it| it.join().map_err(|_| anyhow::anyhow!("a panic"))?)
    })
}

fn record(stopped: &Stopped, target: &str) -> Result<Record> {
    let fits = |record: &&Record| record.message() == "backend" && record.text("target") == target;
    stopped.log.iter().find(fits).cloned().with_context(|| format!("nothing of {target}"))
}

#[test]
fn the_kernels_bytes_are_the_backends_bytes() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let backends = [backend(1)?, backend(2)?];
        let config = Config::new(&[Site::DOOR]).target("1", address(1)).target("2", address(2));
        let dispa = site.dispa(&config)?;
        exchange_many()?;
        Client::new()?.exchange(&DOWNLOAD.to_string(), 0)?;
        Client::new()?.exchange("0", UPLOAD)?;
        let stopped = dispa.stop()?;
        for (name, (server, seen)) in ["1", "2"].into_iter().zip(&backends) {
            until(SOON, "the end of its connections", || {
                (seen.open.load(Ordering::Relaxed) == 0).then_some(())
            })?;
            let record = record(&stopped, name)?;
            println!("{record:?}");
            let told = |field| record.count(field).context("a count");
            let read = seen.read.load(Ordering::Relaxed);
            let written = seen.written.load(Ordering::Relaxed);
            assert_eq!(told("bytes_out")?, read, "{record:?}");
            assert_eq!(told("bytes_in")?, written, "{record:?}");
            ensure!(read > UPLOAD && written > UPLOAD, "each has its share: {record:?}");
            assert_eq!(told("opened")?, server.accepted(), "{record:?}");
            assert_eq!(told("closed")?, server.accepted(), "{record:?}");
            assert_eq!(told("failed")?, 0, "{record:?}");
            ensure!(told("rtt_us")? > 0, "{record:?}");
        }
        Ok(())
    })
}

#[test]
fn a_connection_that_is_refused_has_failed() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let (_server, _) = backend(1)?;
        let config = Config::new(&[Site::DOOR])
            .target("1", address(1))
            .target("nobody", address(9))
            .sections(NO_PROBES);
        let dispa = site.dispa(&config)?;
        for _ in 0..10 {
            Client::new()?.exchange("1", 0)?;
        }
        let stopped = dispa.stop()?;
        let nobody = record(&stopped, "nobody")?;
        ensure!(nobody.count("failed").is_some_and(|failed| failed >= 5), "{nobody:?}");
        for field in ["opened", "closed", "bytes_out", "bytes_in"] {
            assert_eq!(nobody.count(field), Some(0), "{nobody:?}");
        }
        assert_eq!(record(&stopped, "1")?.count("failed"), Some(0));
        Ok(())
    })
}

/// There the program would run for every connection of the host.
#[test]
fn in_the_root_cgroup_nothing_is_counted_and_all_goes_on() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let (_server, _) = backend(1)?;
        let config = Config::new(&[Site::DOOR]).target("1", address(1));
        let file = Dispa::write(lab, &config, site.cgroup.path())?;
        let enter = r#"echo $$ > "$0/cgroup.procs" && exec "$@""#;
        let mut command = Command::new("sh");
        command.args(["-c", enter]).arg(Cgroup::root()?).arg(Dispa::binary()?).arg("-c").arg(file);
        let dispa = Process::start(&mut command)?;
        let says = |line: &Line, message| {
            Record::parse(&line.text).is_some_and(|record| record.message() == message)
        };
        dispa.wait_for_line(SOON, |line| says(line, "ready"))?;
        Client::new()?.exchange("1", 0)?;
        dispa.signal(Signal::SIGTERM)?;
        let ended = dispa.finish(SOON)?;
        ended.success()?;
        let log: Vec<_> = ended.stderr().lines().filter_map(Record::parse).collect();
        let warned = "the kernel does not count for the targets";
        let warning = log.iter().find(|it| it.message() == warned).context("no warning")?;
        ensure!(warning.text("reason").contains("a cgroup of its own"), "{warning:?}");
        ensure!(log.iter().all(|it| it.message() != "backend"), "{log:?}");
        Ok(())
    })
}

#[test]
fn a_download_is_counted_while_it_goes_on() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _server = TcpServer::start(&[address(1)], |connection| {
            let mut stream = &*connection.stream;
            head(&mut BufReader::new(stream))?;
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {DOWNLOAD}\r\n\r\n")?;
            loop {
                stream.write_all(&[b'x'; 10_000])?;
                thread::sleep(Duration::from_millis(5));
            }
        })?;
        let config = Config::new(&[Site::DOOR]).target("1", address(1)).sections(NO_PROBES);
        let dispa = site.dispa(&config)?;
        let download = TcpStream::connect(Config::EXPLICIT_DOOR)?;
        write!(&download, "GET / HTTP/1.1\r\nhost: {}\r\n\r\n", Site::DOOR)?;
        thread::scope(|scope| {
            scope.spawn(|| io::copy(&mut (&download), &mut io::sink()));
            let looked = look_twice(&dispa);
            let _ = download.shutdown(std::net::Shutdown::Both);
            looked
        })?;
        let ended = dispa.stop()?;
        assert_eq!(record(&ended, "1")?.count("closed"), Some(1));
        Ok(())
    })
}

/// Waits until some of a download is counted, then until more of it is.
fn look_twice(dispa: &Dispa) -> Result<()> {
    let map = counts_map(dispa)?;
    let more_than = |least| {
        until(SOON, "the count to move", || bytes_in(map).ok().filter(|bytes| *bytes > least))
    };
    let first = more_than(0)?;
    // Less than the 2 MB of one second were not worth a look.
    let second = more_than(first + 1_000_000)?;
    println!("{first}, then {second} bytes");
    Ok(())
}

/// The kernel's number of the map that has the counts: the daemon's only one of this kind.
fn counts_map(dispa: &Dispa) -> Result<u32> {
    let directory = format!("/proc/{}/fdinfo", dispa.id());
    for entry in fs::read_dir(directory)? {
        // A descriptor may be closed meanwhile.
        let Ok(info) = fs::read_to_string(entry?.path()) else { continue };
        let field =
            |name: &str| info.lines().find_map(|line| Some(line.strip_prefix(name)?.trim()));
        // BPF_MAP_TYPE_PERCPU_HASH (include/uapi/linux/bpf.h)
        if field("map_type:") == Some("5") {
            return Ok(field("map_id:").context("no map_id")?.parse()?);
        }
    }
    anyhow::bail!("no such map")
}

/// What the map says of the bytes that came in, whatever the processor.
fn bytes_in(map: u32) -> Result<u64> {
    let mut bpftool = Command::new("bpftool");
    let dump = bpftool.args(["-j", "map", "dump", "id", &map.to_string()]);
    let dump: serde_json::Value = serde_json::from_str(&run(dump, SOON)?.success()?)?;
    let values = dump[0]["values"].as_array().context("no values")?;
    // The fifth of its words.
    let word = |value: &serde_json::Value| {
        let bytes = value["value"].as_array()?.get(32..40)?;
        bytes.iter().rev().try_fold(0, |word, byte| {
            Some(
                word << 8
                    | u64::from_str_radix(byte.as_str()?.trim_start_matches("0x"), 16).ok()?,
            )
        })
    };
    values.iter().map(word).sum::<Option<u64>>().context("what does bpftool say?")
}
