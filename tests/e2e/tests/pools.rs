//! Which backends answer for which domain and which client, and what becomes of those nobody can
//! answer.

use std::{
    collections::HashSet,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::SocketAddr,
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use dispa_e2e::{
    Site,
    unwell::{breaks_off, nobody},
};
use dispa_lab::{Config, HttpServer, Lab, Process, Record, TcpServer, until};

const SOON: Duration = Duration::from_secs(30);

/// Nobody is ejected, and nobody probed.
const UNWATCHED: &str =
    "[targets.health_check]\nenabled = false\nmax_failures = 0\nmin_success = 0\n";

fn backend(id: &str, address: SocketAddr, tags: &str, keys: &str) -> String {
    format!("[[backends]]\nid = \"{id}\"\naddress = \"{address}\"\ntags = {tags}\n{keys}\n")
}

fn virtual_host(domain: &str, tag: &str) -> String {
    format!("[[virtual_hosts]]\ndomain = \"{domain}\"\nenabled_backends_tag = \"{tag}\"\n")
}

/// The answers to so many requests, each on a connection of its own.
fn answers(site: &Site<'_>, url: &str, count: usize, options: &[&str]) -> Result<Vec<String>> {
    (0..count).map(|_| site.curl(&[options, &[url]].concat())).collect()
}

#[test]
fn a_virtual_host_is_answered_by_the_backends_of_its_tag_at_both_doors() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        site.dns.set("beta.example.com", &[Site::V4], 60);
        let sections = [
            backend("two", Site::backend(2), r#"["b", "all"]"#, ""),
            backend("three", Site::backend(3), r#"["all"]"#, ""),
            virtual_host("beta.example.com", "b"),
            virtual_host("*.example.com", "all"),
        ];
        let config = Config::new(&[Site::NAME]).target("one", Site::backend(1));
        let dispa = site.dispa(&config.sections(&sections.concat()))?;
        let all_of = |url: &str, options: &[&str]| {
            anyhow::Ok(answers(&site, url, 6, options)?.into_iter().collect::<HashSet<_>>())
        };
        let set = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<HashSet<_>>();
        assert_eq!(all_of("http://example.com/", &[])?, set(&["one"]));
        assert_eq!(all_of("http://beta.example.com/", &[])?, set(&["two"]));
        assert_eq!(all_of("http://four.example.com/", &[])?, set(&["two", "three"]));
        let door = "http://door.test:8080/";
        assert_eq!(all_of(door, &["-HHost: beta.example.com"])?, set(&["two"]));
        assert_eq!(all_of(door, &["-HHost: other.example.com"])?, set(&["two", "three"]));
        ensure!(site.original.requests() == 0, "nothing goes astray");
        let record = dispa.record("exchange", &[("host", "beta.example.com")])?;
        assert!(record.has(&[("rule", "beta.example.com"), ("target", "two")]));
        Ok(())
    })
}

#[test]
fn a_cookie_keeps_a_client_with_its_backend_until_that_is_gone() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let spare = HttpServer::start("spare", &[nobody()])?;
        let sections = "[targets.load_balancing.sticky_cookie]\nmax_age = 60\n";
        let config = Config::new(&[Site::NAME])
            .balancing_keys("sticky_sessions = true")
            .target("one", Site::backend(1))
            .target("spare", nobody())
            .sections(sections);
        let _dispa = site.dispa(&config)?;
        let url = "http://example.com/";
        let jar = |number| lab.directory().join(format!("jar-{number}")).display().to_string();
        let clients: Vec<String> = (0..6).map(jar).collect();
        let mut first = Vec::new();
        for jar in &clients {
            let told = site.curl(&["-c", jar, "-D-", url])?;
            let set = told.lines().find(|line| line.to_lowercase().starts_with("set-cookie:"));
            let set = set.unwrap_or_default();
            ensure!(set.contains("dispa_backend=") && set.contains("; Max-Age=60"), "{told}");
            ensure!(!set.contains("one") && !set.contains("127.0.0.1"), "{set}");
            first.push(told.lines().last().unwrap_or_default().to_owned());
        }
        assert_eq!(first.iter().filter(|name| *name == "one").count(), 3);
        for (jar, name) in clients.iter().zip(&first) {
            for _ in 0..3 {
                let told = site.curl(&["-b", jar, "-c", jar, "-D-", url])?;
                ensure!(!told.to_lowercase().contains("set-cookie"), "it has one: {told}");
                assert_eq!(told.lines().last(), Some(name.as_str()));
            }
        }
        drop(spare);
        for jar in &clients {
            assert_eq!(site.curl(&["-b", jar, "-c", jar, url])?, "one");
            let told = site.curl(&["-b", jar, "-D-", url])?;
            ensure!(!told.to_lowercase().contains("set-cookie"), "it was replaced: {told}");
        }
        Ok(())
    })
}

#[test]
fn a_header_keeps_requests_with_their_backend() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let config =
            Site::config().balancing("hash").balancing_keys("hash_key = \"header:X-User\"");
        let _dispa = site.dispa(&config)?;
        let mut all = HashSet::new();
        for user in 0..12 {
            let field = format!("-HX-User: {user}");
            let told = answers(&site, "http://example.com/", 3, &[&field])?;
            ensure!(told.iter().all(|name| *name == told[0]), "{told:?}");
            all.extend(told);
        }
        assert_eq!(all.len(), 3);
        Ok(())
    })
}

/// Asks so many times, each on a new connection, and prints who it is and who answered.
const ASK: &str = "
import os, sys, urllib.request
told = [urllib.request.urlopen(sys.argv[1]).read().decode().strip() for _ in range(4)]
print(os.getpid(), *told)
";

#[test]
fn a_process_stays_with_its_backend() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let hash = ("hash", "hash_key = \"process\"");
        let sticky = ("roundrobin", "sticky_sessions = true\nsticky_by = \"process\"");
        for (balancing, keys) in [hash, sticky] {
            let dispa = site.dispa(&Site::config().balancing(balancing).balancing_keys(keys))?;
            let mut all = HashSet::new();
            for host in [Site::NAME4, Site::NAME6].repeat(6) {
                let told = site.python(ASK, &[&format!("http://{host}/")])?;
                let words: Vec<_> = told.split_whitespace().collect();
                let [process, first, others @ ..] = &words[..] else { bail!("{told}") };
                ensure!(others.iter().all(|name| name == first), "{told}");
                all.insert((*first).to_owned());
                let process = process.parse()?;
                let own = |record: &Record| record.count("process") == Some(process);
                let records = dispa.records("exchange");
                assert_eq!(records.iter().filter(|it| own(it)).count(), 4, "{told}");
            }
            assert_eq!(all.len(), 3, "{all:?}");
            dispa.stop()?;
        }
        Ok(())
    })
}

#[test]
fn a_backup_answers_while_no_other_one_can() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let config = Config::new(&[Site::NAME])
            .target("spare", Site::backend(1))
            .target_keys("backup = true")
            .target("main", nobody())
            .sections("[targets.health_check]\ninterval = 1\ntimeout = 1");
        let dispa = site.dispa(&config)?;
        assert_eq!(site.curl(&["http://example.com/"])?, "one");
        dispa.record("unhealthy", &[("target", "main")])?;
        assert_eq!(site.curl(&["http://example.com/"])?, "one");
        let main = HttpServer::start("main", &[nobody()])?;
        dispa.record("healthy", &[("target", "main")])?;
        for _ in 0..6 {
            assert_eq!(site.curl(&["http://example.com/"])?, "main");
        }
        drop(main);
        Ok(())
    })
}

/// Two targets that are down, which the daemon knows by probes, or finds out each time.
fn nobodys_request(is_known: bool, passes: bool) -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let probes = "[targets.health_check]\ninterval = 1\ntimeout = 1";
        let names = ["nobody", "nobody else"];
        let config = Config::new(&[Site::NAME, Site::DOOR])
            .target(names[0], nobody())
            .target(names[1], Site::backend(7))
            .intercept_keys(if passes { "on_no_backend = \"passthrough\"" } else { "" })
            .sections(if is_known { probes } else { UNWATCHED });
        let dispa = site.dispa(&config)?;
        for name in names.iter().filter(|_| is_known) {
            dispa.record("unhealthy", &[("target", name)])?;
        }
        let told = |url: &str| {
            let shown = "-w %{http_code} %header{retry-after}";
            site.client("curl", &["-sS", "--max-time", "30", shown, url])
        };
        let unavailable = |told: &str| {
            ensure!(told.starts_with("Service unavailable") && told.ends_with(" 503 1"), "{told}");
            Ok(())
        };
        unavailable(&told("http://door.test:8080/")?)?;
        if !passes {
            unavailable(&told("http://example.com/")?)?;
            assert_eq!(site.original.requests(), 0);
            return Ok(());
        }
        assert_eq!(site.curl(&["http://example.com/"])?, "original");
        let file = lab.file("upload", &"0123456789abcdef".repeat(20_000))?.display().to_string();
        let digest = site.client("sha256sum", &[&file])?;
        let posted = site.curl(&["-X", "POST", "-T", &file, "http://example.com/sha256"])?;
        assert_eq!(digest.split(' ').next(), Some(posted.as_str()));
        let seen = site.original.seen();
        ensure!(seen.len() == 2 && seen.iter().all(|it| it.host == Site::NAME), "{seen:?}");
        Ok(())
    })
}

#[test]
fn what_goes_where_it_was_going_goes_as_it_was_sent() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        // Targets that would be spoken to otherwise, and clients that would be kept.
        let config = Config::new(&[Site::NAME])
            .target("nobody", nobody())
            .target_keys("protocol = \"http2\"\nhost = \"target\"")
            .balancing_keys("sticky_sessions = true")
            .intercept_keys("on_no_backend = \"passthrough\"")
            .sections(&format!("{UNWATCHED}[http]\nforwarded = \"replace\""));
        let _dispa = site.dispa(&config)?;
        let told = site.curl(&["-D-", "http://example.com/a?b"])?;
        ensure!(told.ends_with("original") && told.starts_with("HTTP/1.1 200"), "{told}");
        ensure!(!told.to_lowercase().contains("set-cookie"), "{told}");
        let seen = site.original.seen();
        ensure!(seen.len() == 1 && seen[0].path == "/a?b" && seen[0].host == Site::NAME);
        Ok(())
    })
}

#[test]
fn nobodys_request_is_told_so() -> Result<()> {
    nobodys_request(false, false)?;
    nobodys_request(true, false)
}

#[test]
fn nobodys_request_goes_where_it_was_going_if_that_is_wanted() -> Result<()> {
    nobodys_request(false, true)?;
    nobodys_request(true, true)
}

#[test]
fn tls_that_nobody_answers_is_reset_or_goes_where_it_was_going() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let secure = SocketAddr::new(Site::V4, 443);
        let _origin = TcpServer::start(&[secure], |connection| {
            let mut stream = &*connection.stream;
            let mut begun = [0; 5];
            stream.read_exact(&mut begun)?;
            // An alert, by which a client knows who answered: access_denied.
            stream.write_all(&[21, 3, 1, 0, 2, 2, 49])
        })?;
        let hello = |expected: &str| {
            let options = ["-sS", "--max-time", "30", "-4", "https://example.com/"];
            let told = dispa_lab::run(site.cgroup.command("curl").args(options), SOON)?;
            ensure!(told.stderr().contains(expected), "{}", told.stderr());
            anyhow::Ok(())
        };
        for (keys, expected) in [("", "reset"), ("on_no_backend = \"passthrough\"", "denied")] {
            let sections = [
                backend("tls", nobody(), r#"["t"]"#, "").replace("127.0", "https://127.0"),
                virtual_host(Site::NAME, "t"),
                UNWATCHED.to_owned(),
            ];
            let config = Config::new(&[]).intercept_keys(keys).sections(&sections.concat());
            let dispa = site.dispa(&config)?;
            hello(expected)?;
            dispa.stop()?;
        }
        Ok(())
    })
}

#[test]
fn an_upload_that_may_be_repeated_arrives_whole_at_another_backend() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let broken = breaks_off(nobody())?;
        let config = Config::new(&[Site::NAME])
            .target("one", Site::backend(1))
            .target("broken", nobody())
            .sections(UNWATCHED);
        let _dispa = site.dispa(&config)?;
        let file = lab.file("small", &"0123456789abcdef".repeat(3_000))?.display().to_string();
        for _ in 0..10 {
            // It answers 200 to any PUT.
            assert_eq!(site.curl(&["-T", &file, "http://example.com/small"])?, "one");
        }
        ensure!(broken.accepted() >= 5, "it had its turns");
        assert_eq!(site.shares(), [10, 0, 0]);
        Ok(())
    })
}

#[test]
fn requests_are_repeated_only_so_often() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _broken = [breaks_off(nobody())?, breaks_off(Site::backend(8))?];
        let config = Config::new(&[Site::NAME])
            .target("broken", nobody())
            .target("broken too", Site::backend(8))
            .sections(UNWATCHED);
        let dispa = site.dispa(&config)?;
        let code = ["-sS", "-o/dev/null", "-w%{http_code} ", "http://example.com/[1-600]"];
        let told = site.client("curl", &code)?;
        assert_eq!(told.matches("502").count(), 600);
        let stopped = dispa.stop()?;
        let refused = stopped.log.iter().find_map(|record| record.count("retries_refused"));
        println!("600 requests that fail everywhere: {refused:?} were not repeated");
        // Its worker had saved up 50, and earned a fifth of one for each request but the first, which
        // it was too rich for: 169, and five a second.
        ensure!(refused.is_some_and(|it| (300..=600 - 169).contains(&it)), "{refused:?}");
        Ok(())
    })
}

#[test]
fn a_backend_of_many_errors_is_left_alone_for_a_while() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _ill = TcpServer::start(&[nobody()], |connection| {
            let mut reader = BufReader::new(&*connection.stream);
            for turn in 0_u32.. {
                let head = reader.by_ref().lines().map_while(Result::ok).find(String::is_empty);
                if head.is_none() {
                    break;
                }
                let status = if turn % 2 == 0 { "500 No" } else { "200 OK" };
                let mut stream = &*connection.stream;
                write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 4\r\n\r\nill\n")?;
            }
            Ok(())
        })?;
        let config = Config::new(&[Site::NAME])
            .target("one", Site::backend(1))
            .target("two", Site::backend(2))
            .target("ill", nobody())
            .sections("[targets.health_check]\nenabled = false\nejection_time = 60");
        let dispa = site.dispa(&config)?;
        let code = ["-sS", "-o/dev/null", "-w%{http_code} ", "http://example.com/[1-300]"];
        let told = site.client("curl", &code)?;
        let failed = told.matches("500").count();
        println!("300 requests: {failed} errors of the ill one until it was ejected");
        dispa.record("ejected: too many of its answers are errors", &[("target", "ill")])?;
        ensure!((5..=25).contains(&failed), "{failed}");
        Ok(())
    })
}

#[test]
fn a_full_backend_passes_requests_on() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let silent = TcpServer::start(&[nobody()], |connection| {
            (&*connection.stream).read_to_end(&mut Vec::new()).map(drop)
        })?;
        let config = Config::new(&[Site::NAME])
            .target("silent", nobody())
            .target_keys("max_connections = 2")
            .target("one", Site::backend(1))
            .sections(UNWATCHED);
        let _dispa = site.dispa(&config)?;
        let ask = || {
            let mut curl = site.cgroup.command("curl");
            Process::start(curl.args(["-sS", "http://example.com/"]))
        };
        // Each of two workers has one of them.
        let mut asking = Vec::new();
        until(SOON, "two wait", || {
            asking.push(ask().ok()?);
            (silent.accepted() == 2).then_some(())
        })?;
        site.curl(&["http://example.com/[1-20]"])?;
        assert_eq!(silent.accepted(), 2);
        Ok(())
    })
}
