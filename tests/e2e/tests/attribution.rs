//! Who made a connection is known, and decides whether it is intercepted.

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{Site, direct};
use dispa_lab::{Cgroup, Config, Dispa, Lab, Neighbour, Process, Record, Stopped, run};

const GONE_AT_ONCE: &str = include_str!("../clients/gone_at_once.py");
const SHORT_LIVED: &str = include_str!("../clients/short_lived.py");

const SOON: Duration = Duration::from_mins(1);
const LATER: Duration = Duration::from_mins(5);

const PROCESSES: usize = 50;
const CONNECTIONS: usize = 200;
/// Nobody has a home or a group here; the numbers are enough.
const USERS: [u32; 3] = [1001, 2002, 3003];

const CONTAINER: &str = "4f5e0c1d2b3a49586776859403122130a1b2c3d4e5f60718293a4b5c6d7e8f90";

/// A child of the site's cgroup: its directory, and its path from the root of all.
fn child(site: &Site<'_>, name: &str) -> Result<(PathBuf, String)> {
    let directory = site.cgroup.path().join(name);
    fs::create_dir_all(&directory)?;
    let path = directory.strip_prefix(Cgroup::root()?)?.display().to_string();
    Ok((directory, format!("/{path}")))
}

/// Who answers `curl` when it is started in this cgroup.
fn answer_in(directory: &PathBuf) -> Result<String> {
    let mut curl = Command::new("sh");
    curl.args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec curl -sSf http://four.example.com/"#]);
    run(curl.arg(directory), SOON)?.success()
}

fn answer_to(site: &Site<'_>, user: u32) -> Result<String> {
    let mut curl = site.cgroup.command("setpriv");
    let user = user.to_string();
    curl.args(["--reuid", &user, "--regid", &user, "--clear-groups", "curl"]);
    run(curl.args(["-sSf", "http://four.example.com/"]), SOON)?.success()
}

fn status(config: &Config, lab: &Lab, site: &Site<'_>) -> Result<serde_json::Value> {
    let file = Dispa::write(lab, config, site.cgroup.path())?;
    let mut command = Command::new(Dispa::binary()?);
    let told = run(command.args(["status", "--json", "-c"]).arg(file), SOON)?.success()?;
    Ok(serde_json::from_str(&told)?)
}

/// Exchanges of the site, those with a resolver left out.
fn exchanges(stopped: &Stopped) -> impl Iterator<Item = &Record> {
    let records = stopped.log.iter().filter(|record| record.message() == "exchange");
    records.filter(|record| !record.text("origin").ends_with(":53"))
}

#[test]
fn ten_thousand_connections_of_short_lived_processes_are_theirs() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let config = Site::config();
        let dispa = site.dispa(&config)?;
        let mut running = Vec::new();
        let mut made = HashMap::new();
        for number in 0..PROCESSES {
            let user = USERS[number % USERS.len()];
            let mut client = site.cgroup.command("python3");
            client.args(["-c", SHORT_LIVED, &Site::V4.to_string(), Site::NAME]);
            client.args([CONNECTIONS.to_string(), user.to_string()]);
            let client = Process::start(&mut client)?;
            made.insert(u64::from(client.id()), u64::from(user));
            running.push(client);
        }
        for client in running {
            client.finish(LATER)?.success()?;
        }
        let counts = status(&config, lab, &site)?["attribution"].clone();
        let stopped = dispa.stop()?;
        let (mut known, mut unknown) = (0, 0);
        for record in exchanges(&stopped) {
            let said: Vec<u64> = record
                .text("path")
                .split('/')
                .map_while(|it| match it {
                    "" => Some(0),
                    number => number.parse().ok(),
                })
                .collect();
            let [_, process, user, _] = said[..] else { anyhow::bail!("{record:?}") };
            ensure!(made.get(&process) == Some(&user), "{record:?}");
            match record.count("process") {
                None => unknown += 1,
                Some(noted) => {
                    ensure!((noted, record.count("user")) == (process, Some(user)), "{record:?}");
                    ensure!(record.text("program").starts_with("python3"), "{record:?}");
                    known += 1;
                }
            }
        }
        println!("{known} known, {unknown} unknown; {counts}; {:?}", stopped.summary);
        // On a machine busy with other tests some may go direct, for want of a heartbeat.
        let direct = stopped.summary.count("stale_heartbeat").context("counted")?;
        let all = PROCESSES * CONNECTIONS - usize::try_from(direct)?;
        ensure!(known + unknown == all && unknown * 1000 <= all, "{known} and {unknown} of {all}");
        for (field, json, count) in [
            ("attributed", "attributed", known),
            ("unattributed", "unknown", unknown),
            ("unnamed", "unnamed", 0),
        ] {
            ensure!(stopped.summary.count(field) == Some(count as u64), "{field}: {count}");
            ensure!(counts[json].as_u64() == Some(count as u64), "{json}: {counts}");
        }
        Ok(())
    })
}

#[test]
fn processes_that_end_before_they_are_answered_are_known() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&Site::config_of_one())?;
        let made = site.python(GONE_AT_ONCE, &[&Site::V4.to_string(), Site::NAME, "500"])?;
        let made: HashSet<u64> =
            made.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        ensure!(made.len() == 500);
        dispa.wait_for(SOON, |record| record.text("path").ends_with("/last"))?;
        let stopped = dispa.stop()?;
        for record in exchanges(&stopped) {
            let said = record.text("path").split('/').nth(1).and_then(|it| it.parse().ok());
            ensure!(said == record.count("process"), "{record:?}");
            ensure!(said.is_some_and(|it| made.contains(&it)), "{record:?}");
            // Its own name, or none: never that of the shell or of whoever has its number now.
            let name = record.text("program");
            ensure!(name.is_empty() || name.starts_with("python"), "{record:?}");
        }
        println!("{:?}", stopped.summary);
        assert_eq!(stopped.summary.count("attributed"), Some(500));
        assert_eq!(stopped.summary.count("unattributed"), Some(0));
        Ok(())
    })
}

#[test]
fn a_cgroup_tells_unit_and_container() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let (service, _) = child(&site, "shop.slice/shop.service/payload")?;
        let (container, _) = child(&site, &format!("shop.slice/docker-{CONTAINER}.scope"))?;
        let dispa = site.dispa(&Site::config_of_one())?;
        assert_eq!(answer_in(&service)?, "one");
        assert_eq!(answer_in(&container)?, "one");
        let stopped = dispa.stop()?;
        let told: Vec<_> = exchanges(&stopped)
            .map(|it| (it.text("program"), it.text("unit"), it.text("container")))
            .collect();
        let scope = format!("docker-{CONTAINER}.scope");
        assert_eq!(told, [("curl", "shop.service", ""), ("curl", &scope, CONTAINER)]);
        Ok(())
    })
}

#[test]
fn a_daemon_without_root_tells_what_everybody_may_know() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let (service, _) = child(&site, "shop.service")?;
        let caps = "--inh-caps=+bpf,+net_admin --ambient-caps=+bpf,+net_admin";
        let user = "--reuid=65534 --regid=65534 --clear-groups";
        let binary = Dispa::binary()?;
        let script = format!("#!/bin/sh\nexec setpriv {user} {caps} {} \"$@\"\n", binary.display());
        let script = lab.file("dispa-without-root", &script)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        let config = Site::config_of_one();
        let dispa = Dispa::start_binary(&script, lab, &site.cgroup, &config)?;
        assert_eq!(answer_in(&service)?, "one");
        let stopped = dispa.stop()?;
        let told: Vec<_> = exchanges(&stopped)
            .map(|it| (it.text("program"), it.count("user"), it.text("unit")))
            .collect();
        assert_eq!(told, [("curl", Some(0), "shop.service")]);
        Ok(())
    })
}

#[test]
fn programs_that_ask_the_explicit_door_are_known_whatever_the_lists_say() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        for (bind, ways) in [
            ("127.0.0.1:8080", ["127.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]"].as_slice()),
            ("0.0.0.0:8080", &["127.0.0.1", "127.0.0.9", "[::ffff:127.0.0.1]"]),
            ("[::1]:8080", &["[::1]", "[::]"]),
            ("[::]:8080", &["[::1]"]),
        ] {
            let config = Site::config_of_one().bind(bind.parse()?);
            let dispa = site.dispa(&config.intercept_keys("exclude.uids = [0]"))?;
            for way in ways {
                let url = format!("http://{way}:8080/");
                assert_eq!(site.curl(&["-H", "Host: four.example.com", &url])?, "one", "{url}");
            }
            let stopped = dispa.stop()?;
            let told: Vec<_> = exchanges(&stopped)
                .map(|it| (it.text("program"), it.count("user"), it.count("process").is_some()))
                .collect();
            assert_eq!(told, vec![("curl", Some(0), true); ways.len()], "{bind}");
        }
        Ok(())
    })
}

#[test]
fn who_asks_the_explicit_door_from_outside_the_cgroup_is_unknown_and_from_elsewhere_remote()
-> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&Site::config_of_one().bind("0.0.0.0:8080".parse()?))?;
        let ask = ["-sSf", "-H", "Host: four.example.com"];
        let outside = direct("curl", &[ask.as_slice(), &["http://127.0.0.1:8080/"]].concat())?;
        assert_eq!(outside.success()?, "one");
        let neighbour = Neighbour::new()?;
        let mut elsewhere = neighbour.command(&site.cgroup, "curl");
        elsewhere.args(ask).arg("http://192.0.2.1:8080/");
        assert_eq!(run(&mut elsewhere, SOON)?.success()?, "one");
        let stopped = dispa.stop()?;
        ensure!(exchanges(&stopped).all(|it| it.count("process").is_none()), "{stopped:?}");
        let counts = ["attributed", "unattributed", "remote"].map(|it| stopped.summary.count(it));
        assert_eq!(counts, [Some(0), Some(1), Some(1)]);
        Ok(())
    })
}

#[test]
fn without_attribution_nothing_is_asked() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let config = Site::config_of_one().intercept_keys("attribution = false");
        let dispa = site.dispa(&config)?;
        assert_eq!(site.curl(&["http://four.example.com/"])?, "one");
        ensure!(status(&config, lab, &site)?["attribution"].is_null());
        let stopped = dispa.stop()?;
        ensure!(exchanges(&stopped).all(|record| record.count("process").is_none()));
        assert_eq!(stopped.summary.count("attributed"), Some(0));
        Ok(())
    })
}

#[test]
fn excluded_users_go_direct_and_so_do_those_that_are_not_included() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        for (keys, answers) in [
            ("exclude.uids = [1001, 7]", ["one", "original", "one"]),
            ("include.uids = [1001, 7]", ["original", "one", "original"]),
            ("include.uids = [0, 1001]\nexclude.uids = [1001]", ["one", "original", "original"]),
        ] {
            let dispa = site.dispa(&Site::config_of_one().intercept_keys(keys))?;
            let told = [0, 1001, 2002].map(|user| answer_to(&site, user));
            assert_eq!(told.into_iter().collect::<Result<Vec<_>>>()?, answers, "{keys}");
            let stopped = dispa.stop()?;
            let direct = answers.iter().filter(|it| **it == "original").count() as u64;
            // The connection, and the questions before it.
            ensure!(stopped.summary.count("excluded") >= Some(2 * direct), "{stopped:?}");
            ensure!(exchanges(&stopped).all(|it| it.text("outcome") == "ok"), "{stopped:?}");
        }
        Ok(())
    })
}

#[test]
fn excluded_cgroups_and_units_go_direct_and_so_do_those_that_are_not_included() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let (listed, path) = child(&site, "listed")?;
        let (below, _) = child(&site, "listed/below")?;
        let (unit, _) = child(&site, "some.slice/listed.service")?;
        let (other, _) = child(&site, "some.slice/other.service")?;
        let places = [&listed, &below, &unit, &other];
        for (keys, answers) in [
            (format!("exclude.cgroups = [{path:?}]"), ["original", "original", "one", "one"]),
            (format!("include.cgroups = [{path:?}]"), ["one", "one", "original", "original"]),
            ("exclude.units = [\"listed.service\"]".into(), ["one", "one", "original", "one"]),
            ("include.units = [\"some.slice\"]".into(), ["original", "original", "one", "one"]),
        ] {
            let dispa = site.dispa(&Site::config_of_one().intercept_keys(&keys))?;
            let told = places.map(answer_in).into_iter().collect::<Result<Vec<_>>>()?;
            assert_eq!(told, answers, "{keys}");
            let stopped = dispa.stop()?;
            // They were there at the start: not one of them reached the daemon.
            ensure!(exchanges(&stopped).all(|it| it.text("outcome") == "ok"), "{stopped:?}");
            let direct = answers.iter().filter(|it| **it == "original").count() as u64;
            ensure!(stopped.summary.count("excluded") >= Some(2 * direct), "{stopped:?}");
        }
        Ok(())
    })
}

#[test]
fn of_an_excluded_unit_that_starts_later_one_connection_is_relayed_and_the_others_go_direct()
-> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let keys = "exclude.units = [\"late.service\"]";
        let dispa = site.dispa(&Site::config_of_one().intercept_keys(keys))?;
        let (unit, _) = child(&site, "late.service")?;
        for _ in 0..3 {
            assert_eq!(answer_in(&unit)?, "original");
        }
        assert_eq!(site.curl(&["http://four.example.com/"])?, "one");
        let stopped = dispa.stop()?;
        let outcomes: Vec<_> = exchanges(&stopped).map(|it| it.text("outcome")).collect();
        assert_eq!(outcomes, ["relayed", "ok"]);
        Ok(())
    })
}

#[test]
fn connections_of_excluded_executables_are_relayed_to_where_they_were_going() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let file = run(Command::new("sh").args(["-c", "realpath $(command -v curl)"]), SOON)?;
        let curl = file.success()?;
        let python = |site: &Site<'_>| -> Result<()> {
            site.python(SHORT_LIVED, &[&Site::V4.to_string(), Site::NAME, "1", "0"]).map(drop)
        };
        for (list, by_curl, original) in [("exclude", "original", 1), ("include", "one", 1)] {
            let keys = format!("{list}.executables = [{curl:?}]");
            let dispa = site.dispa(&Site::config_of_one().intercept_keys(&keys))?;
            let before = site.original.requests();
            assert_eq!(site.curl(&["http://four.example.com/"])?, by_curl, "{list}");
            python(&site)?;
            assert_eq!(site.original.requests() - before, original, "{list}");
            let stopped = dispa.stop()?;
            let outcomes: HashSet<_> = exchanges(&stopped)
                .map(|it| (it.text("program") == "curl", it.text("outcome")))
                .collect();
            let expected = [(true, by_curl), (false, if list == "exclude" { "one" } else { "" })];
            let outcome = |who: &str| if who == "one" { "ok" } else { "relayed" };
            assert_eq!(outcomes, expected.map(|(it, who)| (it, outcome(who))).into(), "{list}");
        }
        Ok(())
    })
}

#[test]
fn a_resolver_is_reached_by_an_excluded_executable_too() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let python = run(Command::new("sh").args(["-c", "realpath $(command -v python3)"]), SOON)?;
        let keys = format!("exclude.executables = [{:?}]", python.success()?);
        let _dispa = site.dispa(&Site::config_of_one().intercept_keys(&keys))?;
        let script = "import socket; print(socket.gethostbyname('four.example.com'))";
        let told = site.python(script, &[]).context("it asks")?;
        assert_eq!(told, Site::V4.to_string());
        Ok(())
    })
}
