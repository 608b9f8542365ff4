//! Another configuration while the daemon runs: every way to ask for it, and nothing lost.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{Site, http1::Backend};
use dispa_lab::{Config, Dispa, Finished, Lab, run, until};
use nix::sys::signal::Signal;

const SOON: Duration = Duration::from_secs(30);

/// Only this backend, of three.
fn only(number: u16) -> Config {
    Config::new(&[Site::NAME, Site::DOOR]).target(&number.to_string(), Site::backend(number))
}

/// Puts a configuration where the daemon's is, in one step.
fn put(dispa: &Dispa, site: &Site<'_>, config: &Config) -> Result<()> {
    let new = dispa.file().with_extension("new");
    fs::write(&new, config.text(site.cgroup.path()))?;
    fs::rename(new, dispa.file()).context("cannot replace the file")
}

/// Waits until there were so many reloads.
fn reloads(dispa: &Dispa, count: usize) -> Result<()> {
    let what = format!("{count} reloads");
    until(SOON, &what, || (dispa.records("reloaded").len() >= count).then_some(()))
}

/// Runs `dispa` with this command on the daemon's file.
fn ask(dispa: &Dispa, words: &[&str]) -> Result<Finished> {
    let mut command = Command::new(Dispa::binary()?);
    run(command.args(words).arg("-c").arg(dispa.file()), SOON)
}

fn refusals(dispa: &Dispa) -> usize {
    let begins = |message: &str| message.starts_with("the configuration stays as it is");
    dispa.log().iter().filter(|record| begins(record.message())).count()
}

#[test]
fn signals_and_the_command_have_the_file_read_again() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&only(1))?;
        let signals = [Signal::SIGHUP, Signal::SIGUSR1];
        let mut count = 0;
        for (signal, (number, name)) in signals.into_iter().zip([(2, "two"), (3, "three")]) {
            // In place, so that no look at the file comes first: its times are put back.
            let times = fs::metadata(dispa.file())?.modified()?;
            fs::write(dispa.file(), only(number).text(site.cgroup.path()))?;
            fs::File::open(dispa.file())?.set_modified(times)?;
            dispa.signal(signal)?;
            count += 1;
            reloads(&dispa, count)?;
            for url in Site::WAYS {
                assert_eq!(site.curl(&[url])?, name, "{signal}");
            }
        }
        put(&dispa, &site, &only(1))?;
        let told = ask(&dispa, &["reload", "--wait"])?.success()?;
        ensure!(told.starts_with("reloaded: configuration "), "{told}");
        assert_eq!(site.curl(&["http://example.com/"])?, "one");
        let told = ask(&dispa, &["reload"])?.success()?;
        ensure!(told.starts_with("asked for"), "{told}");
        dispa.stop().map(drop)
    })
}

/// Gives the file this text.
type Change<'d> = Box<dyn Fn(&str) -> Result<()> + 'd>;

/// What an editor, a script or a deployment does to the file.
fn changes(dispa: &Dispa) -> Vec<(&'static str, Change<'_>)> {
    let file = dispa.file();
    let beside = move |name: &str| file.with_file_name(name);
    vec![
        ("written in place", Box::new(move |text| fs::write(file, text).context("cannot write"))),
        (
            "renamed over",
            Box::new(move |text| {
                let new = beside("4913.new");
                fs::write(&new, text)?;
                fs::rename(file, beside("dispa.toml~"))?;
                Ok(fs::rename(new, file)?)
            }),
        ),
        (
            "sed -i",
            Box::new(move |text| {
                fs::write(beside("want"), text)?;
                let script = format!(
                    "sed -i -n -e '1{{r {}' -e '}}' {}",
                    beside("want").display(),
                    file.display()
                );
                // All of the old lines go, but the first, which is the new text's as well.
                run(Command::new("sh").args(["-c", &format!("{script} -e d")]), SOON)?.success()?;
                Ok(())
            }),
        ),
        (
            "a link to another one",
            Box::new(move |text| {
                static NEXT: AtomicUsize = AtomicUsize::new(0);
                let name = format!("version-{}", NEXT.fetch_add(1, Ordering::Relaxed));
                fs::write(beside(&name), text)?;
                let link = beside("link");
                std::os::unix::fs::symlink(&name, &link)?;
                Ok(fs::rename(link, file)?)
            }),
        ),
        (
            "removed and back",
            Box::new(move |text| {
                fs::remove_file(file)?;
                thread::sleep(Duration::from_secs(2));
                fs::write(file, text).context("cannot write")
            }),
        ),
    ]
}

#[test]
fn every_way_to_change_the_file_is_noticed_once() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&only(1))?;
        let names = ["one", "two", "three"];
        for (turn, (way, change)) in changes(&dispa).into_iter().enumerate() {
            let number = (turn + 1) % 3;
            let text = only(u16::try_from(number + 1)?).text(site.cgroup.path());
            change(&text).context(way)?;
            reloads(&dispa, turn + 1).context(way)?;
            assert_eq!(site.curl(&["http://example.com/"])?, names[number], "{way}");
            // Nothing comes of it a second time.
            thread::sleep(Duration::from_millis(1_500));
            assert_eq!(dispa.records("reloaded").len(), turn + 1, "{way}");
        }
        assert_eq!(refusals(&dispa), 0, "nothing was read half");
        dispa.stop().map(drop)
    })
}

#[test]
fn a_wrong_file_changes_nothing_and_everybody_says_so() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&only(1))?;
        let good = fs::read_to_string(dispa.file())?;
        let wrong = good.replace("workers = 2", "workres = 2");
        fs::write(dispa.file(), &wrong)?;
        until(SOON, "the refusal", || (refusals(&dispa) == 1).then_some(()))?;
        let told = ask(&dispa, &["reload", "--wait"])?;
        assert_eq!(told.code(), Some(1));
        ensure!(told.stderr().contains("did you mean `workers`?"), "{}", told.stderr());
        let told = ask(&dispa, &["status"])?;
        ensure!(
            told.stdout().contains("was refused, an older configuration counts"),
            "{}",
            told.stdout()
        );
        assert_eq!(site.curl(&["http://example.com/"])?, "one");
        // Half of it, for two seconds.
        fs::write(dispa.file(), &good[..good.len() / 2])?;
        thread::sleep(Duration::from_secs(2));
        assert_eq!(site.curl(&["http://example.com/"])?, "one");
        fs::write(dispa.file(), good.replace(":3001", ":3002"))?;
        until(SOON, "the new one", || {
            (site.curl(&["http://example.com/"]).ok()? == "two").then_some(())
        })?;
        let told = ask(&dispa, &["status"])?.success()?;
        ensure!(!told.contains("refused"), "{told}");
        dispa.stop().map(drop)
    })
}

#[test]
fn what_is_no_file_to_read_changes_nothing() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&only(1))?;
        let good = fs::read_to_string(dispa.file())?;
        let put_back = || -> Result<()> {
            if fs::remove_file(dispa.file()).is_err() {
                fs::remove_dir(dispa.file())?;
            }
            fs::write(dispa.file(), &good)?;
            Ok(())
        };
        let script = |script: &str| {
            let mut shell = Command::new("sh");
            run(shell.args(["-c", script]).arg(dispa.file()), SOON)?.success()
        };
        for (what, reason) in [
            (": > $0", "it is empty"),
            ("rm $0; mkfifo $0", "it is no regular file"),
            ("rm $0; mkdir $0", "it is no regular file"),
            ("rm $0; ln -s /dev/zero $0", "it is no regular file"),
        ] {
            script(what)?;
            dispa.signal(Signal::SIGUSR1)?;
            until(SOON, what, || {
                let log = dispa.log();
                log.iter().any(|record| record.message().contains(reason)).then_some(())
            })?;
            assert_eq!(site.curl(&["http://example.com/"])?, "one", "{what}");
            put_back()?;
        }
        assert_eq!(ask(&dispa, &["reload", "--wait"])?.code(), Some(0));
        dispa.stop().map(drop)
    })
}

#[test]
fn an_address_that_was_a_targets_is_intercepted_again() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let own = Config::new(&[Site::NAME4]).target("own", (Site::V4, 80).into());
        let dispa = site.dispa(&own)?;
        assert_eq!(site.curl(&["http://four.example.com/"])?, "original");
        assert_eq!(site.original.requests(), 1);
        ensure!(dispa.records("exchange").is_empty(), "it is a target's own address");
        put(&dispa, &site, &Config::new(&[Site::NAME4]).target("1", Site::backend(1)))?;
        ask(&dispa, &["reload", "--wait"])?.success()?;
        // By address, so that nobody asks for it anew.
        let address = format!("four.example.com:80:{}", Site::V4);
        let by_address = ["--resolve", &address, "http://four.example.com/"];
        assert_eq!(site.curl(&by_address)?, "one");
        put(&dispa, &site, &own)?;
        ask(&dispa, &["reload", "--wait"])?.success()?;
        assert_eq!(site.curl(&by_address)?, "original");
        dispa.stop().map(drop)
    })
}

#[test]
fn what_needs_a_restart_is_named_and_stays() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&only(1))?;
        let elsewhere = only(2).bind("127.0.0.1:8099".parse()?).intercept_keys("dns = \"resolve\"");
        put(&dispa, &site, &elsewhere)?;
        let told = ask(&dispa, &["reload", "--wait"])?.success()?;
        let expected = "as before until a restart: server.bind_address, intercept.dns";
        ensure!(told.contains(expected), "{told}");
        for url in Site::WAYS {
            assert_eq!(site.curl(&[url])?, "two");
        }
        ensure!(TcpStream::connect("127.0.0.1:8099").is_err(), "the door is where it was");
        dispa.stop().map(drop)
    })
}

#[test]
fn domains_come_and_go_and_open_connections_stay() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let slow = Backend::start(SocketAddr::from(([127, 0, 0, 1], 3990)), |exchange| {
            exchange.answer("200 OK", "slow")
        })?;
        let config = |domains: &[&str]| {
            Config::new(domains).target("slow", SocketAddr::from(([127, 0, 0, 1], 3990)))
        };
        let dispa = site.dispa(&config(&[Site::NAME4]))?;
        let reload = |domains: &[&str]| {
            put(&dispa, &site, &config(domains))?;
            ask(&dispa, &["reload", "--wait"])?.success().map(drop)
        };
        // On one connection, which is kept open over everything that follows.
        let script = "
import http.client, sys
c = http.client.HTTPConnection('four.example.com')
def ask():
    c.request('GET', '/')
    return c.getresponse().read().decode().strip()
print(ask(), flush=True)
for line in sys.stdin:
    print(ask(), flush=True)
";
        let mut python = site.cgroup.command("python3");
        let mut python = dispa_lab::Process::start(python.args(["-c", script]))?;
        python.wait_for_line(SOON, |line| line.text == "slow")?;

        assert_eq!(site.curl(&["http://six.example.com/"])?, "original");
        reload(&[Site::NAME4, Site::NAME6])?;
        assert_eq!(site.curl(&["http://six.example.com/"])?, "slow", "the next connection");
        reload(&[Site::NAME6])?;
        assert_eq!(site.curl(&["http://four.example.com/"])?, "original");
        // The open connection is the daemon's still; its requests are nobody's any more.
        python.write("\n")?;
        python.wait_for_line(SOON, |line| line.text == "original")?;
        reload(&[Site::NAME4])?;
        python.write("\n")?;
        let slow_again = |lines: &[dispa_lab::Line]| {
            lines.iter().filter(|line| line.text == "slow").count() == 2
        };
        until(SOON, "it is served again", || slow_again(&python.lines()).then_some(()))?;
        drop(slow);
        dispa.stop().map(drop)
    })
}

#[test]
fn what_is_known_of_a_target_outlasts_a_reload() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let nobody: SocketAddr = "127.0.0.1:3999".parse()?;
        let config = |extra: &str| {
            only(1).target("nobody", nobody).sections(&format!(
                "[targets.health_check]\nenabled = false\nmax_failures = 1\nejection_time = 300\n\
                 [http]\nvia = \"{extra}\""
            ))
        };
        let dispa = site.dispa(&config("a"))?;
        site.curl(&["http://example.com/[1-4]"])?;
        dispa.record("ejected: it fails again and again", &[("target", "nobody")])?;
        put(&dispa, &site, &config("b"))?;
        ask(&dispa, &["reload", "--wait"])?.success()?;
        let told = ask(&dispa, &["status", "--json"])?.success()?;
        ensure!(told.contains("\"ejected\"") && told.contains("\"good\": 4"), "{told}");
        Ok(())
    })
}
