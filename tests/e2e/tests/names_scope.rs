//! Catch-all, where Host or SNI alone decides, and TLS by SNI.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{IpAddr, SocketAddr},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use dispa_e2e::direct;
use dispa_lab::{
    Config, Connection, Dispa, EchoServer, HttpServer, Lab, Process, Resolver, TcpServer, Wild,
};

const HALF_CLOSE: &str = include_str!("../clients/half_close.py");
const GREETING: &str = include_str!("../clients/greeting.py");
const TLS_SITE: &str = include_str!("../clients/tls_site.py");

const SOON: Duration = Duration::from_secs(30);

/// Where the backend that speaks TLS is.
const TLS_BACKEND: &str = "127.0.0.1:4443";

/// Starts a daemon that redirects everything.
fn catch_all(wild: &Wild<'_>, config: &Config) -> Result<Dispa> {
    Dispa::start_edited(wild.lab, &wild.cgroup, config, |text| {
        text.replace("[intercept]\n", "[intercept]\nscope = \"all\"\n")
    })
}

#[test]
fn an_address_nobody_has_named_is_caught_by_its_host_alone() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        let dispa = catch_all(&wild, &Wild::config().exclude(&["not.wild.test"]))?;
        for address in [Wild::v4(1), Wild::v6(1)] {
            for (host, who) in [
                ("any.wild.test", "backend"),
                ("ANY.wild.test:80", "backend"),
                ("other.test", "original"),
                ("not.wild.test", "original"),
                ("198.18.0.1", "original"),
            ] {
                assert_eq!(wild.curl_at(host, address)?, who, "{host} at {address}");
            }
        }
        let stopped = dispa.stop()?.summary;
        println!("{stopped:?}");
        assert_eq!(stopped.count("redirected_v4"), Some(5));
        assert_eq!(stopped.count("redirected_v6"), Some(5));
        Ok(())
    })
}

#[test]
fn a_thousand_addresses_at_once_need_no_learning() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        let dispa = catch_all(&wild, &Wild::config())?;
        let urls = (0..1000).map(|number| format!("http://{}/\n", Wild::v4(number)));
        let list = lab.file("urls", &urls.collect::<String>())?.display().to_string();
        let script = "xargs -n 50 -P 4 curl -sSf -H 'Host: any.wild.test' < $0 | sort | uniq -c";
        let bodies = wild.client("sh", &["-c", script, &list])?;
        assert_eq!(bodies.trim(), "1000 backend");
        assert_eq!(wild.original.requests(), 0);
        let stopped = dispa.stop()?.summary;
        println!("{stopped:?}");
        assert_eq!(stopped.count("no_slot"), Some(0));
        Ok(())
    })
}

#[test]
fn loopback_is_never_caught() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        let dispa = catch_all(&wild, &Wild::config())?;
        for address in ["127.0.0.1", "127.3.2.1", "::1"] {
            let address: IpAddr = address.parse()?;
            assert_eq!(wild.curl_at("any.wild.test", address)?, "original", "{address}");
        }
        let stopped = dispa.stop()?.summary;
        assert_eq!(stopped.count("redirected_v4"), Some(0), "{stopped:?}");
        assert_eq!(stopped.count("redirected_v6"), Some(0), "{stopped:?}");
        Ok(())
    })
}

#[test]
fn bytes_that_are_no_http_reach_the_original_untouched() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        let addresses = [Wild::v4(7), Wild::v6(7)];
        lab.address(addresses[1])?;
        let _echo = EchoServer::start(&addresses.map(|address| SocketAddr::new(address, 443)))?;
        let dispa = catch_all(&wild, &Wild::config())?;
        for address in addresses {
            let arguments = ["-c", HALF_CLOSE, &address.to_string(), "443"];
            let digests = wild.client("python3", &arguments)?;
            let (sent, got) = digests.split_once(' ').context("two digests")?;
            assert_eq!(sent, got, "{address}");
        }
        for record in dispa.stop()?.log.iter().filter(|record| record.message() == "exchange") {
            assert_eq!(record.text("outcome"), "relayed", "{record:?}");
        }
        Ok(())
    })
}

/// Greets, reads a line and answers it, as mail servers do.
fn greet(connection: &Connection) -> io::Result<()> {
    writeln!(&*connection.stream, "220 mail.test ready\r")?;
    let mut line = String::new();
    BufReader::new(&*connection.stream).read_line(&mut line)?;
    writeln!(&*connection.stream, "250 {}\r", line.trim())
}

#[test]
fn a_server_that_speaks_first_is_heard_soon() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        lab.address(Wild::v6(7))?;
        let servers = [SocketAddr::new(Wild::v4(7), 443), SocketAddr::new(Wild::v6(7), 443)];
        let _mail = TcpServer::start(&servers, greet)?;
        let dispa = catch_all(&wild, &Wild::config())?;
        for server in servers {
            let arguments = ["-c", GREETING, &server.ip().to_string(), "443", "EHLO me"];
            let heard = wild.client("python3", &arguments)?;
            println!("{server}: {heard:?}");
            let (greeting, answer) = heard.split_once('\n').context("two lines")?;
            let (greeting, after_ms) = greeting.rsplit_once(' ').context("a time")?;
            assert_eq!((greeting, answer), ("220 mail.test ready", "250 EHLO me"));
            assert!(after_ms.parse::<u64>()? < 2000, "after {after_ms} ms");
        }
        dispa.stop().map(drop)
    })
}

/// Two certificates for the same names, and a server with each.
struct TlsSites {
    /// The original's, which listens on every address of the test's networks.
    _original: [Process; 2],
    _backend: Process,
    directory: String,
}

impl TlsSites {
    fn start(lab: &Lab) -> Result<Self> {
        let directory = lab.directory().display().to_string();
        for name in ["original", "backend"] {
            let (key, certificate) =
                (format!("{directory}/{name}.key"), format!("{directory}/{name}.pem"));
            let subject = format!("/CN={name}");
            let names = "subjectAltName=DNS:*.wild.test,DNS:other.test,IP:198.18.0.9";
            let arguments = [
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                &subject,
                "-addext",
                names,
                "-keyout",
                &key,
                "-out",
                &certificate,
            ];
            direct("openssl", &arguments)?.success()?;
        }
        let (address, port) = TLS_BACKEND.split_once(':').context("a port")?;
        Ok(Self {
            _original: [
                Self::site(&directory, "original", "198.18.0.9", "443")?,
                Self::site(&directory, "original", "198.18.0.10", "443")?,
            ],
            _backend: Self::site(&directory, "backend", address, port)?,
            directory,
        })
    }

    fn site(directory: &str, name: &str, address: &str, port: &str) -> Result<Process> {
        let (certificate, key) =
            (format!("{directory}/{name}.pem"), format!("{directory}/{name}.key"));
        let mut command = Command::new("python3");
        command.args(["-c", TLS_SITE, name, &certificate, &key, address, port]);
        let process = Process::start(&mut command)?;
        process.wait_for_line(SOON, |line| line.text == "listening")?;
        Ok(process)
    }

    /// Fetches from the cgroup by HTTPS, from `address`, trusting the certificate of `who` only:
    /// it is `who` that the program speaks TLS with.
    fn fetch(&self, wild: &Wild<'_>, host: &str, address: IpAddr, who: &str) -> Result<String> {
        let certificate = format!("{}/{who}.pem", self.directory);
        let resolve = format!("{host}:443:{address}");
        let url = format!("https://{host}/");
        wild.curl(&["--cacert", &certificate, "--resolve", &resolve, &url])
            .with_context(|| format!("{host} at {address}, with the certificate of {who}"))
    }
}

/// A configuration whose only backend speaks TLS, made so in the text.
fn tls_config() -> Result<Config> {
    Ok(Config::new(&[Wild::PATTERN]).target("tls", TLS_BACKEND.parse()?))
}

fn with_https(text: &str) -> String {
    text.replace(&format!("http://{TLS_BACKEND}"), &format!("https://{TLS_BACKEND}"))
}

#[test]
fn tls_for_an_intercepted_name_goes_to_a_backend_that_speaks_it() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        let sites = TlsSites::start(lab)?;
        let hosts = "198.18.0.9 in.wild.test other.test\n198.18.0.10 more.wild.test\n";
        let _dnsmasq = Resolver::dnsmasq(lab, &[Lab::RESOLVER], hosts, "")?;
        let dispa =
            Dispa::start_edited(lab, &wild.cgroup, &tls_config()?, |text| with_https(&text))?;
        let [nine, ten] = [Wild::v4(9), Wild::v4(10)];
        // Before any answer has named them.
        assert_eq!(sites.fetch(&wild, "in.wild.test", nine, "original")?, "original");
        for name in ["in.wild.test", "more.wild.test"] {
            wild.client("dig", &["+short", name])?;
        }
        for (host, address, who) in [
            ("in.wild.test", nine, "backend"),
            ("more.wild.test", ten, "backend"),
            ("other.test", nine, "original"),
            // Intercepted, but not at its own address.
            ("in.wild.test", ten, "original"),
            // An address is no name to send in a hello.
            ("198.18.0.9", nine, "original"),
        ] {
            assert_eq!(sites.fetch(&wild, host, address, who)?, who, "{host} at {address}");
        }
        // Plain HTTP has no backend then.
        assert_eq!(wild.curl(&["http://in.wild.test/"])?, "original");
        let stopped = dispa.stop()?.summary;
        println!("{stopped:?}");
        assert_eq!(stopped.count("tls_passed"), Some(0));
        Ok(())
    })
}

#[test]
fn tls_is_caught_by_its_sni_alone_where_everything_is() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        let sites = TlsSites::start(lab)?;
        // One that speaks TLS is down: the other one answers for both.
        let down = "127.0.0.1:3999";
        let all = tls_config()?.target("down", down.parse()?).target("backend", Wild::BACKEND);
        let dispa = Dispa::start_edited(lab, &wild.cgroup, &all, |text| {
            let text = text.replace(&format!("http://{down}"), &format!("https://{down}"));
            with_https(&text).replace("[intercept]\n", "[intercept]\nscope = \"all\"\n")
        })?;
        let nine = Wild::v4(9);
        for (host, who) in
            [("any.wild.test", "backend"), ("other.test", "original"), ("198.18.0.9", "original")]
        {
            for _ in 0..3 {
                assert_eq!(sites.fetch(&wild, host, nine, who)?, who, "{host}");
            }
        }
        // Each protocol has its own backend.
        for _ in 0..3 {
            assert_eq!(wild.curl_at("any.wild.test", nine)?, "backend");
        }
        assert_eq!(wild.backend.requests(), 3);
        dispa.stop().map(drop)
    })
}

#[test]
fn tls_for_a_name_without_a_tls_backend_passes_and_is_counted() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        let sites = TlsSites::start(lab)?;
        let dispa = catch_all(&wild, &Wild::config())?;
        for _ in 0..3 {
            assert_eq!(sites.fetch(&wild, "any.wild.test", Wild::v4(9), "original")?, "original");
        }
        assert_eq!(sites.fetch(&wild, "other.test", Wild::v4(9), "original")?, "original");
        assert_eq!(wild.curl_at("any.wild.test", Wild::v4(9))?, "backend");
        let log = dispa.log();
        let warned = log.iter().any(|record| record.text("level") == "WARN");
        assert!(warned, "a warning at the start: {log:?}");
        let stopped = dispa.stop()?.summary;
        println!("{stopped:?}");
        assert_eq!(stopped.count("tls_passed"), Some(3));
        Ok(())
    })
}

#[test]
fn with_dns_resolve_wildcards_are_not_learned_and_dns_is_left_alone() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        let hosts = format!("{} fresh.wild.test\n{} exact.test\n", Wild::v4(1), Wild::v4(2));
        let _dnsmasq = Resolver::dnsmasq(lab, &[Lab::RESOLVER], &hosts, "local-ttl=60")?;
        let config = Config::new(&[Wild::PATTERN, "exact.test"]).target("backend", Wild::BACKEND);
        let dispa = Dispa::start_edited(lab, &wild.cgroup, &config, |text| {
            text.replace("[intercept]\n", "[intercept]\ndns = \"resolve\"\n")
        })?;
        assert_eq!(wild.curl(&["http://fresh.wild.test/"])?, "original");
        assert_eq!(wild.curl(&["http://exact.test/"])?, "backend");
        let stopped = dispa.stop()?.summary;
        assert_eq!(stopped.count("dns_v4"), Some(0), "{stopped:?}");
        Ok(())
    })
}

#[test]
fn a_site_on_another_port_is_none_of_dispas_business() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        let _other = HttpServer::start("other port", &[SocketAddr::new(Wild::v4(1), 8000)])?;
        let dispa = catch_all(&wild, &Wild::config())?;
        let body = wild.curl(&["-H", "Host: any.wild.test", "http://198.18.0.1:8000/"])?;
        assert_eq!(body, "other port");
        let stopped = dispa.stop()?.summary;
        assert_eq!(stopped.count("redirected_v4"), Some(0), "{stopped:?}");
        Ok(())
    })
}
