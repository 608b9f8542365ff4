//! `http.forwarded`: what backends are told of those in front of us.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{
    Cells, Stage,
    http1::{Client, Head},
};
use dispa_lab::Config;

use crate::recorder::Recorder;

const TRUSTED: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));

/// What somebody in front of us says of those in front of it.
const SAID: &str = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n\
     X-Forwarded-Host: said.test\r\nForwarded: for=203.0.113.7;proto=https;host=said.test\r\n";

const NAMES: [&str; 4] = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"];

fn config(kind: &str) -> Config {
    Stage::http(&format!("forwarded = {kind:?}\ntrusted_proxies = [\"{TRUSTED}\"]"))
}

/// What the backend sees of a request that comes from there, with these fields.
fn seen(recorder: &Recorder, from: IpAddr, fields: &str) -> Result<Head> {
    recorder.head();
    let mut client = Client::connect_from(from, Stage::DOOR)?;
    client.send(Recorder::get(fields))?;
    client.answer()?;
    recorder.head().context("the backend saw nothing")
}

/// Ours alone: nothing of what was said is left.
fn only_ours(head: &Head, from: IpAddr) -> Result<()> {
    let values = NAMES.map(|name| head.list(name));
    let [client, proto, host, forwarded] = &values;
    ensure!(*client == from.to_string() && proto == "http" && host == Stage::HOST, "{values:?}");
    let forwarded = forwarded.replace('"', "");
    for pair in [format!("for={from}"), "proto=http".to_owned(), format!("host={}", Stage::HOST)] {
        ensure!(forwarded.split(';').any(|own| own == pair), "no {pair} in {forwarded:?}");
    }
    Ok(())
}

#[test]
fn off_neither_adds_nor_removes() -> Result<()> {
    Recorder::run(&config("off"), |recorder| {
        let mut cells = Cells::new();
        for from in [TRUSTED, STRANGER] {
            cells.run(format!("said by {from}"), || {
                let head = seen(recorder, from, SAID)?;
                let values = NAMES.map(|name| head.list(name));
                let said = "for=203.0.113.7;proto=https;host=said.test";
                ensure!(values == ["203.0.113.7", "https", "said.test", said], "{values:?}");
                Ok(())
            });
            cells.run(format!("nothing said by {from}"), || {
                let head = seen(recorder, from, "")?;
                ensure!(NAMES.iter().all(|name| !head.has(name)), "{head:?}");
                Ok(())
            });
        }
        cells.verdict()
    })
}

#[test]
fn append_adds_to_what_a_trusted_peer_says() -> Result<()> {
    Recorder::run(&config("append"), |recorder| {
        let mut cells = Cells::new();
        cells.run("trusted", || {
            let head = seen(recorder, TRUSTED, SAID)?;
            let client = head.list("x-forwarded-for");
            ensure!(client == format!("203.0.113.7, {TRUSTED}"), "{client:?}");
            let forwarded = head.list("forwarded").replace('"', "");
            let elements: Vec<_> = forwarded.split(',').map(str::trim).collect();
            let said = elements[0] == "for=203.0.113.7;proto=https;host=said.test";
            ensure!(said && elements.len() == 2, "{forwarded:?}");
            ensure!(elements[1].contains(&format!("for={TRUSTED}")), "{forwarded:?}");
            Ok(())
        });
        cells.run("trusted, in several lines", || {
            let lines = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 203.0.113.8\r\n";
            let client = seen(recorder, TRUSTED, lines)?.list("x-forwarded-for");
            ensure!(client == format!("203.0.113.7, 203.0.113.8, {TRUSTED}"), "{client:?}");
            Ok(())
        });
        cells.run("trusted, nothing said", || only_ours(&seen(recorder, TRUSTED, "")?, TRUSTED));
        cells.run("stranger", || only_ours(&seen(recorder, STRANGER, SAID)?, STRANGER));
        cells.run("stranger, nothing said", || only_ours(&seen(recorder, STRANGER, "")?, STRANGER));
        cells.verdict()
    })
}

#[test]
fn replace_tells_only_ours() -> Result<()> {
    Recorder::run(&config("replace"), |recorder| {
        let mut cells = Cells::new();
        for (from, said) in [(TRUSTED, SAID), (TRUSTED, ""), (STRANGER, SAID), (STRANGER, "")] {
            cells.run(format!("{from} {said:?}"), || only_ours(&seen(recorder, from, said)?, from));
        }
        cells.verdict()
    })
}
