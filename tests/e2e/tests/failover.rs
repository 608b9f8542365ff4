//! A backend that is down, or says that it is not well, costs no request.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{
    Server, Site,
    unwell::{PROBES, breaks_off, nobody},
};
use dispa_lab::{Config, HttpServer, Lab, TcpServer, until};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_request_goes_to_another_backend_if_its_own_cannot_be_reached() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let config = Config::new(&[Site::NAME])
            .target("one", Site::backend(1))
            .target("nobody", nobody())
            .target("two", Site::backend(2))
            .sections("[targets.health_check]\nenabled = false\nmax_failures = 0");
        let dispa = site.dispa(&config)?;
        site.curl(&["http://example.com/[1-60]"])?;
        let [one, two, _] = site.shares();
        assert_eq!(one + two, 60);
        let records = dispa.records("exchange");
        ensure!(records.iter().all(|it| it.text("target") != "nobody"), "who answered is named");
        ensure!(site.original.requests() == 0, "nothing goes astray");
        Ok(())
    })
}

#[test]
fn an_upload_goes_whole_to_another_backend() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let config =
            Config::new(&[Site::NAME]).target("nobody", nobody()).target("one", Site::backend(1));
        let _dispa = site.dispa(&config)?;
        let file = lab.file("upload", &"0123456789abcdef".repeat(20_000))?.display().to_string();
        let digest = site.client("sha256sum", &[&file])?;
        for _ in 0..4 {
            let told = site.curl(&["-X", "POST", "-T", &file, "http://example.com/sha256"])?;
            assert_eq!(digest.split(' ').next(), Some(told.as_str()));
        }
        Ok(())
    })
}

#[test]
fn what_asks_for_a_change_is_sent_once_what_asks_for_none_goes_on() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let broken = breaks_off(nobody())?;
        let config = Config::new(&[Site::NAME])
            .target("one", Site::backend(1))
            .target("broken", nobody())
            .sections("[targets.health_check]\nenabled = false\nmax_failures = 0");
        let _dispa = site.dispa(&config)?;
        site.curl(&["http://example.com/[1-10]"])?;
        assert_eq!(site.shares(), [10, 0, 0]);
        let before = broken.accepted();
        ensure!(before > 0, "it had its turn");
        let code = ["-sS", "-o/dev/null", "-w%{http_code} ", "-d", "x", "http://example.com/[1-6]"];
        let told = site.client("curl", &code)?;
        let failed = told.matches("502").count();
        ensure!(failed > 0 && failed + told.matches("200").count() == 6, "{told}");
        // Each reached one of them, once.
        assert_eq!(broken.accepted(), before + u64::try_from(failed)?);
        assert_eq!(site.shares(), [16 - failed, 0, 0]);
        Ok(())
    })
}

#[test]
fn each_backend_is_told_its_own_host() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let keeps = SocketAddr::from(([127, 0, 0, 1], 3998));
        let own = "host = \"target\"";
        let _heard = TcpServer::start(&[keeps], |connection| {
            let lines = BufReader::new(&*connection.stream).lines().map_while(Result::ok);
            let host = lines.take_while(|line| !line.is_empty());
            let host = host.filter(|line| line.to_ascii_lowercase().starts_with("host:")).last();
            let body = host.unwrap_or_default();
            let mut stream = &*connection.stream;
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            )
        })?;
        let config = Config::new(&[Site::NAME])
            .target("first", nobody())
            .target("second", SocketAddr::from(([127, 0, 0, 1], 3997)))
            .target_keys(own)
            .target("third", keeps)
            .sections("[targets.health_check]\nenabled = false\nmax_failures = 0");
        let _dispa = site.dispa(&config)?;
        for _ in 0..6 {
            let told = site.curl(&["http://example.com/"])?;
            assert_eq!(told.to_ascii_lowercase(), "host: example.com");
        }
        Ok(())
    })
}

#[test]
fn a_backend_that_fails_again_and_again_is_left_alone_for_a_while() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let config = Config::new(&[Site::NAME])
            .target("one", Site::backend(1))
            .target("nobody", nobody())
            .sections(
                "[targets.health_check]\nenabled = false\nmax_failures = 3\nejection_time = 60",
            );
        let dispa = site.dispa(&config)?;
        site.curl(&["http://example.com/[1-40]"])?;
        assert_eq!(site.shares(), [40, 0, 0]);
        let ejections = dispa.records("ejected: it fails again and again");
        assert_eq!(ejections.len(), 1);
        assert_eq!(ejections[0].text("target"), "nobody");
        let seconds = ejections[0].count("seconds");
        ensure!(seconds.is_some_and(|it| (60..=66).contains(&it)), "{seconds:?}");
        Ok(())
    })
}

#[test]
fn probes_take_a_backend_out_and_put_it_back() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let config = Config::new(&[Site::NAME])
            .target("one", Site::backend(1))
            .target("other", nobody())
            .sections(PROBES);
        let dispa = site.dispa(&config)?;
        dispa.record("unhealthy", &[("target", "other")])?;
        site.curl(&["http://example.com/[1-10]"])?;
        let records = dispa.records("exchange");
        let targets: Vec<_> = records.iter().map(|record| record.text("target")).collect();
        assert_eq!(targets, ["one"; 10]);

        let other = HttpServer::start("other", &[nobody()])?;
        dispa.record("healthy", &[("target", "other")])?;
        until(SOON, "it has its share again", || {
            (site.curl(&["http://example.com/"]).ok()? == "other").then_some(())
        })?;
        drop(other);
        Ok(())
    })
}

#[test]
fn a_probe_that_is_not_answered_ends_with_its_connection() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let ended = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&ended);
        let _silent = TcpServer::start(&[nobody()], move |connection| {
            (&*connection.stream).read_to_end(&mut Vec::new())?;
            heard.store(true, Ordering::Relaxed);
            Ok(())
        })?;
        let config = Config::new(&[Site::NAME]).target("silent", nobody()).sections(PROBES);
        let dispa = site.dispa(&config)?;
        let told = dispa.record("unhealthy", &[("target", "silent")])?;
        assert_eq!(told.text("error"), "no answer in time");
        until(SOON, "the probe's connection ends", || ended.load(Ordering::Relaxed).then_some(()))
    })
}

#[test]
fn probes_over_tls_see_more_than_a_connection() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let script = format!(
            "cd {} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
             -keyout key.pem -out certificate.pem -days 2 -subj /CN=other.test",
            lab.directory().display()
        );
        site.client("sh", &["-c", &script])?;
        let (well, ill) = (Site::backend(4), Site::backend(5));
        let server = |address: SocketAddr, ssl: &str, status: u16| {
            format!(
                "server {{ listen {address} {ssl}; location / {{
                    if ($http_host = probe.test) {{ return {status}; }} return 404; }}
                 ssl_certificate certificate.pem; ssl_certificate_key key.pem; }}"
            )
        };
        let plain = server(Site::backend(6), "", 200);
        let servers = [server(well, "ssl", 200), server(ill, "ssl", 500), plain].concat();
        let _nginx = Server::nginx(lab, &servers, well)?;
        let target = |name: &str, address| {
            format!("[[targets.targets]]\nname = \"{name}\"\nurl = \"https://{address}\"\n")
        };
        let sections = [
            &target("well", well),
            &target("ill", ill),
            &target("plain", Site::backend(6)),
            PROBES,
            "\nhost = \"probe.test\"",
        ];
        let config = Config::new(&[Site::NAME]).target("one", Site::backend(1));
        let dispa = site.dispa(&config.sections(&sections.concat()))?;
        assert_eq!(dispa.record("unhealthy", &[("target", "ill")])?.text("error"), "status 500");
        let told = dispa.record("unhealthy", &[("target", "plain")])?;
        ensure!(told.text("error").starts_with("no TLS: "), "{told:?}");
        // Two more rounds of probes.
        thread::sleep(Duration::from_secs(2));
        ensure!(dispa.records("unhealthy").iter().all(|it| it.text("target") != "well"));
        Ok(())
    })
}

#[test]
fn without_a_healthy_backend_the_service_is_unavailable() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let config = Config::new(&[Site::NAME]).target("nobody", nobody()).sections(PROBES);
        let dispa = site.dispa(&config)?;
        dispa.record("unhealthy", &[("target", "nobody")])?;
        let code =
            ["-sS", "-o/dev/null", "-w%{http_code} %header{retry-after}", "http://example.com/"];
        let told = site.client("curl", &code)?;
        ensure!(told.starts_with("503"), "{told}");
        dispa.record("exchange", &[("outcome", "no_backend")])?;
        Ok(())
    })
}

/// One nginx of three is killed while requests are made all the time.
#[test]
fn a_backend_that_is_killed_costs_no_request() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let address = |number: u16| SocketAddr::from(([127, 0, 0, 1], 3500 + number));
        let start = |number: u16| {
            let server = format!(
                "server {{ listen {}; location / {{ return 200 backend-{number}; }} }}",
                address(number)
            );
            Server::nginx(lab, &server, address(number))
        };
        let mut config = Config::new(&[Site::NAME, Site::DOOR]).sections(PROBES);
        for number in 1..=3 {
            config = config.target(&format!("backend-{number}"), address(number));
        }
        let mut servers = (1..=3).map(start).collect::<Result<Vec<_>>>()?;
        let _dispa = site.dispa(&config)?;
        let is_over = AtomicBool::new(false);
        let (made, failed) = thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let (mut made, mut failed) = (0, Vec::new());
                while !is_over.load(Ordering::Relaxed) {
                    made += 1;
                    if let Err(error) = ask() {
                        failed.push(error.to_string());
                    }
                    thread::sleep(Duration::from_millis(1));
                }
                (made, failed)
            });
            thread::sleep(Duration::from_secs(2));
            drop(servers.pop());
            thread::sleep(Duration::from_secs(3));
            let again = start(3);
            thread::sleep(Duration::from_secs(2));
            is_over.store(true, Ordering::Relaxed);
            anyhow::Ok((asking.join(), again?))
        })
        .map(|(asked, _again)| asked)?
        .ok()
        .context("the client panicked")?;
        println!("{made} requests, {} failed", failed.len());
        ensure!(made > 500, "only {made} requests");
        ensure!(failed.is_empty(), "{failed:?}");
        Ok(())
    })
}

/// Asks the explicit door on a new connection.
fn ask() -> Result<()> {
    let mut stream = TcpStream::connect(Config::EXPLICIT_DOOR)?;
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: door.test\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200") && answer.contains("backend-"), "{answer:?}");
    Ok(())
}
