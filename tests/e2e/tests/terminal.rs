//! `dispa top` and `dispa tail` as a person sees them.

use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use dispa_e2e::{Site, http1::Client};
use dispa_lab::{Config, Dispa, Lab, Terminal, run};

const SOON: Duration = Duration::from_secs(20);

fn config() -> Config {
    Config::new(&[Site::NAME, Site::DOOR])
        .target("one", Site::backend(1))
        .target("two", Site::backend(2))
}

/// The command `dispa` with these words and the daemon's file.
fn command(dispa: &Dispa, words: &[&str]) -> Result<Command> {
    let mut command = Command::new(Dispa::binary()?);
    command.args(words).arg("-c").arg(dispa.file());
    Ok(command)
}

/// Has a client ask the explicit door, about 200 times a second, while `look` looks on.
fn under_traffic<T>(look: impl FnOnce() -> Result<T>) -> Result<T> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| -> Result<()> {
            let mut client = Client::connect(Config::EXPLICIT_DOOR)?;
            while !is_over.load(Ordering::Relaxed) {
                client.get(Site::DOOR, "/")?;
                thread::sleep(Duration::from_millis(5));
            }
            Ok(())
        });
        let looked = look();
        is_over.store(true, Ordering::Relaxed);
        asking.join().map_err(|_| anyhow::anyhow!("the client panicked"))??;
        looked
    })
}

fn has(screen: &[String], beginning: &str) -> bool {
    screen.iter().any(|line| line.starts_with(beginning))
}

#[test]
fn top_shows_what_goes_on_in_every_size() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&config())?;
        under_traffic(|| {
            let terminal = Terminal::start(&command(&dispa, &["top"])?, 80, 24)?;
            let screen = terminal.wait("a second of traffic", |it| has(it, Site::DOOR))?;
            ensure!(screen.len() == 24 && screen.iter().all(|line| line.len() <= 80));
            ensure!(screen[0].contains(" req/s ") && !screen[0].starts_with("0 "), "{screen:?}");
            ensure!(screen[23].starts_with("q quit"), "{screen:?}");
            terminal.press("Tab")?;
            terminal.wait("targets", |it| has(it, "one ") && has(it, "two "))?;
            terminal.resize(200, 50)?;
            terminal.wait("the new size", |it| it.len() == 50 && has(&it[49..], "q quit"))?;
            terminal.wait("targets, wide", |it| {
                it.iter().any(|line| line.starts_with("one ") && line.len() > 150)
            })?;
            terminal.press("n")?;
            terminal.press("n")?;
            terminal.wait("sorted, from the end", |it| it[4].starts_with("two "))?;
            terminal.resize(20, 3)?;
            terminal.resize(80, 24)?;
            terminal.wait("the old size", |it| it.len() == 24 && has(&it[23..], "q quit"))?;
            terminal.press("q")?;
            assert_eq!(terminal.ended()?, 0);
            Ok(())
        })?;
        dispa.stop().map(drop)
    })
}

#[test]
fn top_ends_with_the_daemon_and_leaves_the_terminal_as_it_was() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&config())?;
        let terminal = Terminal::start(&command(&dispa, &["top"])?, 80, 24)?;
        terminal.wait("the first second", |it| has(it, "0 req/s"))?;
        dispa.kill()?;
        assert_eq!(terminal.ended()?, 69);
        // What it drew is gone, what it said is there.
        let screen = terminal.screen()?;
        ensure!(has(&screen, "dispa: the daemon at ") && !has(&screen, "q quit"), "{screen:?}");
        Ok(())
    })
}

#[test]
fn tail_shows_each_exchange_as_it_ends() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&config())?;
        let all = Terminal::start(&command(&dispa, &["tail"])?, 200, 50)?;
        let refused = Terminal::start(&command(&dispa, &["tail", "--status", "404"])?, 80, 24)?;
        // Whoever begins to look sees what ends from then on.
        let sees = |terminal: &Terminal, path: &str| {
            let line = |it: &[String]| it.iter().any(|line| line.contains(path));
            terminal.wait(path, line).is_ok_and(|it| line(&it))
        };
        let mut client = Client::connect(Config::EXPLICIT_DOOR)?;
        dispa_lab::until(Duration::from_secs(20), "both look on", || {
            client.get("nobody.test", "/begin").ok()?;
            let looks =
                |it: &Terminal| it.screen().ok().filter(|it| it.concat().contains("/begin"));
            looks(&all).and(looks(&refused))
        })?;
        client.get(Site::DOOR, "/shown")?;
        site.curl(&["http://example.com/other"])?;
        ensure!(sees(&all, "GET     door.test/shown ") && sees(&all, "example.com/other "));
        let screen = all.screen()?.join("\n");
        ensure!(screen.contains("-> one") && screen.contains("404 GET     nobody.test/begin"));
        ensure!(screen.contains("no_rule"), "{screen}");
        ensure!(!refused.screen()?.concat().contains("/shown"));
        dispa.kill()?;
        assert_eq!((all.ended()?, refused.ended()?), (69, 69));
        ensure!(all.screen()?.concat().contains(" is gone"));
        Ok(())
    })
}

#[test]
fn who_reads_no_more_is_not_written_to() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&config())?;
        let binary = Dispa::binary()?.display().to_string();
        let file = dispa.file().display().to_string();
        for (words, told) in [("top --json", "{\"seconds\":"), ("config reference", "# Every key")]
        {
            let script = format!("{binary} {words} -c {file} | head -n 1");
            let first = run(Command::new("sh").args(["-c", &script]), SOON)?.success()?;
            ensure!(first.starts_with(told), "{words}: {first}");
        }
        // On a quiet daemon nothing comes that could not be written.
        let script = format!("{binary} tail -c {file} | true");
        run(Command::new("sh").args(["-c", &script]), SOON)?.success()?;
        // What cannot be said ends nothing.
        let script =
            format!("{binary} reload --wait -c {file} 2>/dev/full; {binary} chekc 2>/dev/full");
        let code = run(Command::new("sh").args(["-c", &script]), SOON)?.code();
        assert_eq!(code, Some(64));
        dispa.stop().map(drop)
    })
}
