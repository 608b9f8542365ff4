//! As many connections as there may be, and more: nobody is refused, and nobody is kept out by others.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{Counts, Holder, Site, direct, http1::Client};
use dispa_lab::{Config, Dispa, Lab, Process, Record, Stopped, run, until};

const SOON: Duration = Duration::from_secs(30);

/// The site's daemon, which is to have at most so many connections.
fn config(most: usize) -> Config {
    Site::config_of_one().server_keys(&format!("max_connections = {most}"))
}

/// Has all connections closed; how long it takes then until the site is intercepted again.
fn let_go(held: Holder, site: &Site<'_>) -> Result<Duration> {
    held.let_go()?;
    let begun = Instant::now();
    until(SOON, "an intercepted connection", || {
        site.curl(&["http://four.example.com/"]).ok().filter(|who| who == "one")
    })?;
    Ok(begun.elapsed())
}

fn count(stopped: &Stopped, field: &str) -> Result<u64> {
    stopped.summary.count(field).with_context(|| format!("no {field}"))
}

#[test]
fn beyond_max_connections_new_ones_go_direct_and_wait_at_the_explicit_door() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&config(100))?;
        // One alone gets no more than three quarters.
        let (first, held) = fill(&site, 100)?;
        let got = [&first, &held].map(|it| (it.by("one"), it.by("original")));
        println!("of 100 connections, then 200 of another program: {got:?}");
        ensure!(got == [(75, 25), (25, 175)], "{got:?}");

        let file = dispa.file().display().to_string();
        let told = direct(Dispa::binary()?, &["status", "-c", &file])?.success()?;
        ensure!(told.contains("100 connections of at most 100; new ones go direct"), "{told}");
        // Questions are answered as before.
        ensure!(site.curl(&["http://four.example.com/"])? == "original");
        let before = site.backends[0].requests();
        let mut waiting = Vec::new();
        for _ in 0..4 {
            let mut client = Client::connect(Config::EXPLICIT_DOOR)?;
            client.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")?;
            waiting.push(client);
        }
        thread::sleep(Duration::from_millis(200));
        let served = site.backends[0].requests() - before;
        ensure!(served <= 2, "{served} more than there may be, of two workers, were served");

        drop(first);
        println!("intercepted again {:?} after the last one ended", let_go(held, &site)?);
        for mut client in waiting {
            ensure!(client.answer()?.text().trim() == "one", "whoever waits is served in the end");
        }
        let stopped = dispa.stop()?;
        ensure!(count(&stopped, "over_limit")? >= 176 && count(&stopped, "over_share")? == 25);
        ensure!(count(&stopped, "dns_v4")? >= 2);
        Ok(())
    })
}

/// Two programs that hold connections: as many as there may be, and twice as many.
fn fill(site: &Site<'_>, most: usize) -> Result<(Holder, Holder)> {
    let first = Holder::start(site, "first", most, "whole")?;
    Ok((first, Holder::start(site, "second", 2 * most, "whole")?))
}

/// A program that becomes the daemon, with at most so many descriptors.
fn limited(lab: &Lab, descriptors: usize) -> Result<PathBuf> {
    let binary = Dispa::binary()?;
    let script = format!("#!/bin/sh\nulimit -n {descriptors}\nexec {} \"$@\"\n", binary.display());
    let path = lab.file("limited", &script)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// Processor time that the daemon has taken so far, in its own code and in the kernel (proc(5)).
fn processor_time(dispa: &Dispa) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", dispa.id()))?;
    let (_, after_name) = stat.rsplit_once(')').context("a name")?;
    let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    // Hundredths of a second on every Linux (`USER_HZ`).
    Ok(Duration::from_millis(10 * ticks.sum::<Result<u64, _>>()?))
}

/// Asks the site on one connection after the other; who answered how often.
fn ask(site: &Site<'_>, child: &str, times: usize) -> Result<Counts> {
    let directory = site.cgroup.path().join(child);
    fs::create_dir_all(&directory)?;
    let (urls, host) =
        (format!("http://{}/[1-{times}]", Site::V4), format!("Host: {}", Site::NAME));
    let mut curl = Command::new("sh");
    curl.args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec curl "$@""#]).arg(&directory);
    curl.args(["-sS", "-H", "Connection: close", "-H", &host, &urls]);
    let curl = run(&mut curl, SOON)?;
    let (answers, errors) = (curl.stdout(), curl.stderr());
    let mut counts = Counts::new();
    for who in answers.lines().filter(|line| !line.starts_with("--")) {
        *counts.entry(who.to_owned()).or_default() += 1;
    }
    ensure!(counts.values().sum::<usize>() == times, "{counts:?} {errors}");
    Ok(counts)
}

#[test]
fn without_descriptors_for_so_many_new_ones_go_direct_before_the_last_is_taken() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let few = limited(lab, 300)?;
        let dispa = Dispa::start_binary(&few, lab, &site.cgroup, &config(1000))?;
        let warned = dispa
            .record("too few open files are allowed for so many connections, of two each", &[])?;
        let possible = warned.count("possible").context("possible")?;
        let (first, held) = fill(&site, 200)?;
        let [one, original] = ["one", "original"].map(|who| first.by(who) + held.by(who));
        println!("600 connections with 300 descriptors, {possible} possible: {one} intercepted");
        ensure!(one + original == 600, "{:?} {:?}", first.counts(), held.counts());
        ensure!(u64::try_from(one)? == possible, "{one} of {possible}");

        let (time, clock) = (processor_time(&dispa)?, Instant::now());
        let asked = ask(&site, "others", 500)?;
        let (time, clock) = (processor_time(&dispa)?.saturating_sub(time), clock.elapsed());
        println!("500 more: {asked:?} in {clock:?}, in which the daemon took {time:?}");
        ensure!(asked == Counts::from([("original".into(), 500)]), "{asked:?}");
        drop(first);

        println!("intercepted again {:?} after the last one ended", let_go(held, &site)?);
        let stopped = dispa.stop()?;
        let failures: Vec<_> = stopped.log.iter().filter(|it| is_failure(it)).collect();
        ensure!(failures.is_empty(), "{failures:?}");
        Ok(())
    })
}

fn is_failure(record: &Record) -> bool {
    record.message().starts_with("cannot accept")
}

#[test]
fn when_descriptors_run_out_all_the_same_new_ones_go_direct_at_once() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&config(1000))?;
        let held = Holder::start(&site, "holder", 20, "whole")?;
        ensure!(held.by("one") == 20, "{:?}", held.counts());
        // From now on it cannot have one more, and knows nothing of it.
        limit_of(&dispa, "10")?;
        // This one shows it that it cannot, and waits.
        let url = format!("http://{}/", Site::V4);
        let host = format!("Host: {}", Site::NAME);
        let mut curl = site.cgroup.command("curl");
        let first = Process::start(curl.args(["-sS", "-H", &host, &url]))?;
        dispa.record("cannot accept; new connections go direct for a while", &[])?;
        let asked = ask(&site, "others", 100)?;
        ensure!(asked == Counts::from([("original".into(), 100)]), "{asked:?}");
        limit_of(&dispa, "10000")?;
        let clock = Instant::now();
        ensure!(first.finish(SOON)?.success()?.trim() == "one");
        println!(
            "whoever was in the queue is served {:?} after it could have more",
            clock.elapsed()
        );
        println!("intercepted again {:?} after that", let_go(held, &site)?);
        dispa.stop()?;
        Ok(())
    })
}

/// Sets how many descriptors a running daemon may have.
fn limit_of(dispa: &Dispa, descriptors: &str) -> Result<()> {
    let (pid, limit) = (dispa.id().to_string(), format!("--nofile={descriptors}:10000"));
    run(Command::new("prlimit").args(["--pid", &pid, &limit]), SOON)?.success().map(drop)
}

#[test]
fn a_program_that_takes_all_it_can_get_leaves_enough_to_the_others() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&config(800))?;
        let hog = Holder::start(&site, "hog", 3000, "half")?;
        ensure!(hog.by("held") == 3000, "{:?}", hog.counts());
        let others = ask(&site, "others", 100)?;
        ensure!(others == Counts::from([("one".into(), 100)]), "{others:?}");
        let hogs = ask(&site, "hog", 10)?;
        ensure!(hogs == Counts::from([("original".into(), 10)]), "{hogs:?}");
        println!("the others again {:?} after it ended", let_go(hog, &site)?);
        until(SOON, "room for all", || {
            ask(&site, "hog", 1).is_ok_and(|counts| counts.contains_key("one")).then_some(())
        })?;
        let stopped = dispa.stop()?;
        println!("{:?}", stopped.summary);
        ensure!(count(&stopped, "over_share")? >= 1500 && count(&stopped, "over_limit")? == 0);
        Ok(())
    })
}

#[test]
fn beyond_its_memory_new_ones_go_direct_until_there_is_some_again() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let patient = "[http]\nheader_timeout = 60";
        let dispa = site.dispa(&config(8000).server_keys("max_memory = 48").sections(patient))?;
        // They would take twice as much.
        let many = Holder::start(&site, "many", 3000, "long")?;
        until(SOON, "too much memory", || (!dispa.records(NO_ROOM).is_empty()).then_some(()))?;
        let asked = ask(&site, "others", 20)?;
        println!("{} KiB, and then {asked:?}", dispa.memory_kib("RssAnon")?);
        ensure!(asked == Counts::from([("original".into(), 20)]), "{asked:?}");
        println!("intercepted again {:?} after the last one ended", let_go(many, &site)?);
        ensure!(dispa.records(NO_ROOM)[0].text("short_of") == "memory");
        dispa.stop()?;
        Ok(())
    })
}

const NO_ROOM: &str =
    "no room for more connections: new ones go direct, or wait at the explicit door";
