//! A backend that closes a kept connection just as it is used again, each time.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Result, ensure};
use dispa_e2e::{
    Cells, Stage,
    http1::{Backend, Client, Exchange},
};
use dispa_lab::{Config, Lab};

use crate::OTHER;

const REQUESTS: u64 = 300;

#[derive(Clone, Copy)]
enum Close {
    /// The bytes are read and not answered.
    Fin,
    /// They are not even read.
    Rst,
}

/// Answers one request, waits for the first byte of the next and closes.
fn answer_one(exchange: &mut Exchange<'_>, how: Close, closed: &AtomicU64) -> io::Result<()> {
    exchange.answer("200 OK", "fine")?;
    let again = exchange.stream().peek(&mut [0])? > 0;
    closed.fetch_add(again.into(), Ordering::Relaxed);
    match how {
        Close::Fin => {
            exchange.finish()?;
            exchange.until_gone()
        }
        Close::Rst => exchange.reset(),
    }
}

fn closes(config: &Config, addresses: &[SocketAddr], how: Close) -> Result<()> {
    Lab::run(|lab| {
        let closed = Arc::new(AtomicU64::new(0));
        let start = |address: &SocketAddr| {
            let closed = Arc::clone(&closed);
            Backend::start(*address, move |exchange| answer_one(exchange, how, &closed))
        };
        let _backends = addresses.iter().map(start).collect::<Result<Vec<_>>>()?;
        let stage = Stage::start(lab, config)?;
        let mut client = Client::connect(Stage::DOOR)?;
        for number in 0..REQUESTS {
            let answer = client.get(Stage::HOST, &format!("/{number}"))?;
            ensure!(answer.status == 200 && answer.whole && answer.text() == "fine", "{answer:?}");
        }
        let closed = closed.load(Ordering::Relaxed);
        ensure!(closed >= REQUESTS / 4, "only {closed} connections were closed at their use");
        let ejected = stage.dispa.records("ejected: it fails again and again");
        ensure!(ejected.is_empty(), "{ejected:?}");
        Ok(())
    })
}

#[test]
fn a_connection_closed_at_each_reuse_costs_no_get() -> Result<()> {
    let mut cells = Cells::new();
    for (name, how) in [("FIN", Close::Fin), ("RST", Close::Rst)] {
        let one = [Stage::BACKEND];
        cells.run(format!("{name}, one backend"), || closes(&Stage::config(), &one, how));
        let (two, config) = ([Stage::BACKEND, OTHER], Stage::config().target("other", OTHER));
        cells.run(format!("{name}, two backends"), || closes(&config, &two, how));
    }
    cells.verdict()
}
