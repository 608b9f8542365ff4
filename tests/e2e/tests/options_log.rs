//! Every option of the traffic log does something. What else it has to do is in `traffic_log`.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{Site, Traffic, http1::Client};
use dispa_lab::{Config, Dispa, Lab, run, until};

const SOON: Duration = Duration::from_secs(30);

/// Runs a daemon with these sections until it has answered so many requests.
fn answer(lab: &Lab, sections: &str, requests: usize) -> Result<()> {
    let site = Site::new(lab)?;
    let dispa = site.dispa(&Site::config_of_one().sections(sections))?;
    let mut client = Client::connect(Config::EXPLICIT_DOOR)?;
    for _ in 0..requests {
        ensure!(client.get(Site::NAME, "/")?.status == 200);
    }
    dispa.stop().map(drop)
}

/// The names of the files there, in order.
fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory)?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

#[test]
fn it_is_written_where_it_is_asked_for() -> Result<()> {
    for (kind, keys, has_files, has_rows) in [
        ("file", "", true, false),
        ("database", "", false, true),
        ("both", "", true, true),
        ("both", "enabled = false", false, false),
    ] {
        Lab::run(|lab| {
            let traffic = Traffic::new(lab, kind);
            answer(lab, &traffic.sections(kind, keys), 3)?;
            assert_eq!(traffic.files().exists(), has_files, "{kind} {keys}");
            assert_eq!(traffic.database().exists(), has_rows, "{kind} {keys}");
            if has_files {
                assert_eq!(traffic.lines()?.len(), 3);
            }
            if has_rows {
                assert_eq!(traffic.select("id")?.len(), 3);
            }
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn what_is_due_is_removed() -> Result<()> {
    for (days, stays) in [(30, false), (36_500, true)] {
        Lab::run(|lab| {
            let traffic = Traffic::new(lab, "due");
            fs::create_dir_all(traffic.files())?;
            let old = traffic.files().join("traffic-2020-01-01.log.zst");
            fs::write(&old, "old")?;
            // Of a log that is due altogether the clock is doubted first.
            let yesterday = run(Command::new("date").args(["-d", "yesterday", "+%F"]), SOON)?;
            let yesterday = yesterday.success()?;
            fs::write(traffic.files().join(format!("traffic-{}.log", yesterday.trim())), "")?;
            fs::write(traffic.files().join("notes.txt"), "somebody's")?;
            let site = Site::new(lab)?;
            let sections = traffic.sections("file", &format!("retention_days = {days}"));
            let dispa = site.dispa(&Site::config_of_one().sections(&sections))?;
            site.curl(&["http://example.com/"])?;
            if stays {
                ensure!(old.exists(), "{:?}", names(&traffic.files())?);
            } else {
                until(SOON, "it to be removed", || (!old.exists()).then_some(()))?;
            }
            ensure!(traffic.files().join("notes.txt").exists());
            dispa.stop().map(drop)
        })?;
    }
    Ok(())
}

#[test]
fn a_file_is_turned_at_its_size_or_not_at_all() -> Result<()> {
    for (rotation, is_turned) in [("true", true), ("false", false)] {
        Lab::run(|lab| {
            let traffic = Traffic::new(lab, "sizes");
            let sections = format!(
                "type = \"file\"\n[logging.file]\ndirectory = \"{}\"\nmax_file_size = 65536\n\
                 rotation = {rotation}",
                traffic.files().display()
            );
            // Some 500 bytes each.
            answer(lab, &sections, 400)?;
            let names = names(&traffic.files())?;
            assert_eq!(names.len() > 1, is_turned, "{names:?}");
            for name in names.iter().filter(|name| is_turned && name.strip_suffix(".zst").is_none())
            {
                let size = fs::metadata(traffic.files().join(name))?.len();
                ensure!(size <= 65_536 + 1_024, "{name}: {size}");
            }
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn with_one_connection_nobody_can_search() -> Result<()> {
    for (most, code) in [(1, 69), (2, 0)] {
        Lab::run(|lab| {
            let traffic = Traffic::new(lab, "connections");
            let sections =
                traffic.sections("database", "") + &format!("max_connections = {most}\n");
            let site = Site::new(lab)?;
            let dispa = site.dispa(&Site::config_of_one().sections(&sections))?;
            site.curl(&["http://example.com/"])?;
            let mut ask = Command::new(Dispa::binary()?);
            let told = run(ask.arg("logs").arg("-c").arg(dispa.file()), SOON)?;
            let seen = (told.code(), told.stderr());
            ensure!(told.code() == Some(code), "{most}: {seen:?}");
            dispa.stop().map(drop)
        })?;
    }
    Ok(())
}

#[test]
fn a_server_that_says_nothing_is_waited_for_as_long_as_that() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let silent = TcpListener::bind("127.0.0.1:0")?;
        let port = silent.local_addr()?.port();
        let sections = format!(
            "type = \"database\"\n[logging.database]\n\
             url = \"postgresql://dispa@127.0.0.1:{port}/traffic\"\nconnection_timeout = 2"
        );
        let config = Site::config_of_one().sections(&sections);
        let mut command = Dispa::command(&Dispa::binary()?, lab, &site.cgroup, &config)?;
        let begun = Instant::now();
        let finished = run(&mut command, SOON)?;
        let took = begun.elapsed();
        assert_eq!(finished.code(), Some(3), "{}", finished.stderr());
        ensure!(took >= Duration::from_secs(2), "{took:?}: it was not waited for");
        let said = finished.stderr();
        let line = said.lines().find(|line| line.starts_with("dispa: ")).context("no line")?;
        ensure!(line.contains(&format!("127.0.0.1:{port}/traffic")), "{line}");
        Ok(())
    })
}
