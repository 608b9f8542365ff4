//! A backend that accepts connections and answers nothing.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{
    Clock, Stage,
    http1::{Backend, Client, Exchange},
    unwell::PROBES,
};
use dispa_lab::{Dispa, Lab, until};

use crate::OTHER;

const SOON: Duration = Duration::from_secs(10);

const CLIENTS: usize = 4;
/// Connections that may be idle from the time when it was well: one of each worker.
const KEPT: usize = 2;
/// More requests of one client than can meet it before the backend is out of use.
const MOST_DETOURS: u64 = 8;

/// Three failures in a row, and no probes.
const EJECTION: &str =
    "[targets.health_check]\nenabled = false\nmax_failures = 3\nejection_time = 60";

fn answer_or_not(exchange: &mut Exchange<'_>, is_silent: &AtomicBool) -> io::Result<()> {
    if is_silent.load(Ordering::Relaxed) {
        exchange.until_gone()
    } else {
        exchange.answer("200 OK", "silent")
    }
}

/// Asks until the record `out` is written; how many requests waited for the silent one first. Every
/// one of them is answered.
fn ask_until(dispa: &Dispa, out: &str) -> Result<u64> {
    let mut detours = 0;
    while dispa.records(out).is_empty() {
        let clock = Clock::start();
        let answer = Client::connect(Stage::DOOR)?.get(Stage::HOST, "/")?;
        ensure!(answer.status == 200 && answer.text() == "good", "{answer:?}");
        detours += u64::from(clock.elapsed() >= Duration::from_secs(1));
        ensure!(detours <= MOST_DETOURS, "it stays in use");
    }
    Ok(detours)
}

/// With these verdicts, of which the record `out` tells.
fn falls_silent(verdicts: &str, out: &str) -> Result<()> {
    Lab::run(|lab| {
        let is_silent = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&is_silent);
        let _good = Backend::start(Stage::BACKEND, |exchange| exchange.answer("200 OK", "good"))?;
        let silent = Backend::start(OTHER, move |exchange| answer_or_not(exchange, &heard))?;
        let config = Stage::config().target("silent", OTHER).target_keys("timeout = 1");
        let stage = Stage::start(lab, &config.sections(verdicts))?;
        for _ in 0..4 {
            ensure!(Client::connect(Stage::DOOR)?.get(Stage::HOST, "/")?.status == 200);
        }
        ensure!(!silent.seen_for("/").is_empty(), "it had no turn");

        is_silent.store(true, Ordering::Relaxed);
        let detours = AtomicU64::new(0);
        thread::scope(|scope| {
            let ask =
                || ask_until(&stage.dispa, out).map(|it| detours.fetch_add(it, Ordering::Relaxed));
            let asking: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
            for thread in asking {
                thread.join().ok().context("a client panicked")??;
            }
            anyhow::Ok(())
        })?;
        println!("{out}: {} requests waited a second", detours.load(Ordering::Relaxed));
        let before = silent.seen_for("/").len();
        for _ in 0..100 {
            let answer = Client::connect(Stage::DOOR)?.get(Stage::HOST, "/")?;
            ensure!(answer.status == 200 && answer.text() == "good", "{answer:?}");
        }
        ensure!(detours.into_inner() > 0, "it had no turn while it was silent");
        ensure!(silent.seen_for("/").len() == before, "it is still asked");
        until(SOON, "the end of what waits for it", || (silent.open().len() <= KEPT).then_some(()))
            .with_context(|| format!("open: {:?}", silent.open()))?;
        Ok(())
    })
}

#[test]
fn a_backend_that_falls_silent_is_out_of_use_once_probes_find_out() -> Result<()> {
    falls_silent(PROBES, "unhealthy")
}

#[test]
fn a_backend_that_falls_silent_is_out_of_use_once_it_is_ejected() -> Result<()> {
    falls_silent(EJECTION, "ejected: it fails again and again")
}
