//! Every way in which an exchange can end, with the request's body in every state: nobody hangs, no
//! one gets another's bytes, no dirty connection is used again, and no descriptor stays behind.

mod backend1;
mod backend2;
mod cell;
mod client1;
mod client2;
mod judge;
mod ledger;

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{Cells, Stage, http1, http2};
use dispa_lab::{Config, Lab};

use cell::{Cell, Fault, How, Place, Read, table};
use ledger::Ledger;

/// Idle connections to the backend: requests come one after the other, so each of two workers has
/// one, and one more at the moment at which another takes its place.
const MOST_IDLE: usize = 4;

/// How a client goes through a cell.
type Run = fn(Cell, &str, &Ledger) -> Result<()>;

/// One of the two kinds of backend.
enum Backend {
    One(http1::Backend),
    Two(http2::Backend),
}

impl Backend {
    fn one(ledger: &Arc<Ledger>) -> Result<Self> {
        let ledger = Arc::clone(ledger);
        let answer = move |exchange: &mut http1::Exchange<'_>| backend1::answer(exchange, &ledger);
        Ok(Self::One(http1::Backend::start(Stage::BACKEND, answer)?))
    }

    fn two(ledger: &Arc<Ledger>) -> Result<Self> {
        let ledger = Arc::clone(ledger);
        let answer = move |exchange: &mut http2::Exchange| backend2::answer(exchange, &ledger);
        Ok(Self::Two(http2::Backend::start(Stage::BACKEND, &h2::server::Builder::new(), answer)?))
    }

    fn config(&self) -> Config {
        match self {
            Self::One(_) => Stage::config(),
            Self::Two(_) => Stage::config().target_keys("protocol = \"http2\""),
        }
    }

    /// How many connections it holds open.
    fn open(&self) -> usize {
        match self {
            Self::One(backend) => backend.open().len(),
            Self::Two(backend) => backend.open(),
        }
    }

    /// How often a request came for `path`.
    fn count(&self, path: &str) -> usize {
        match self {
            Self::One(backend) => backend.seen_for(path).len(),
            Self::Two(backend) => backend.seen_for(path).len(),
        }
    }

    /// What came where a request should have begun.
    fn faults(&self) -> Vec<String> {
        match self {
            Self::One(backend) => backend.faults(),
            Self::Two(_) => vec![],
        }
    }
}

/// A daemon, its backend, and what the backend knows.
struct World {
    stage: Stage,
    backend: Backend,
    ledger: Arc<Ledger>,
}

/// Goes through all cells of a table, one after the other, with the same daemon.
fn go_through(
    backend: impl FnOnce(&Arc<Ledger>) -> Result<Backend> + Send,
    table: Vec<Cell>,
    run: Run,
) -> Result<()> {
    Lab::run(|lab| {
        let ledger = Arc::default();
        let backend = backend(&ledger)?;
        let world = World { stage: Stage::start(lab, &backend.config())?, backend, ledger };
        fresh("warm-up")?;
        let mut base = world.descriptors()?;
        let mut cells = Cells::new();
        for (number, cell) in table.into_iter().enumerate() {
            let outcome = world.go_through(cell, &format!("{number}-t"), run, base);
            if outcome.is_err() {
                // What this cell left behind is no fault of the next.
                base = base.max(world.descriptors()?);
            }
            cells.note(cell, outcome);
        }
        cells.verdict()
    })
}

impl World {
    fn go_through(&self, cell: Cell, token: &str, run: Run, base: usize) -> Result<()> {
        self.ledger.plan(token, cell);
        run(cell, token, &self.ledger)?;
        fresh(token).context("on a fresh connection")?;
        let count = self.backend.count(&format!("/{token}"));
        ensure!(count == 1, "the backend was asked {count} times");
        let odd = [self.ledger.breaches(), self.backend.faults()].concat();
        ensure!(odd.is_empty(), "the backend saw {odd:?}");
        self.stage.settles_at(|| base + self.idle())
    }

    /// The daemon's descriptors, but for its idle connections to the backend.
    fn descriptors(&self) -> Result<usize> {
        Ok(self.stage.descriptors()?.saturating_sub(self.idle()))
    }

    /// How many connections to the backend may be idle now.
    fn idle(&self) -> usize {
        self.backend.open().min(MOST_IDLE)
    }
}

/// Asks on connections of their own: with four, both workers are likely among them.
fn fresh(token: &str) -> Result<()> {
    for number in 0..4 {
        let mut client = http1::Client::connect(Stage::DOOR)?;
        let token = format!("fresh-{number}-{token}");
        ensure!(client1::canary(&mut client, &token)?, "not answered");
    }
    Ok(())
}

const ANSWERS: &[Fault] = &[Fault::Early, Fault::EarlyError];
const REFUSALS: &[Fault] = &[Fault::Refused(426), Fault::Refused(200), Fault::Refused(403)];
const CLIENT_GOES: &[Fault] = &[
    Fault::ClientInSilence(How::Fin),
    Fault::ClientInSilence(How::Rst),
    Fault::ClientInBody(How::Fin),
    Fault::ClientInBody(How::Rst),
];
const CLIENT_RESETS: &[Fault] =
    &[Fault::ClientInSilence(How::Stream), Fault::ClientInBody(How::Stream)];
const BACKEND_GOES: &[Fault] = &[
    Fault::Backend(How::Fin, Place::BeforeHead),
    Fault::Backend(How::Rst, Place::BeforeHead),
    Fault::Backend(How::Fin, Place::InLength),
    Fault::Backend(How::Rst, Place::InLength),
    Fault::Backend(How::Fin, Place::InChunks),
    Fault::Backend(How::Rst, Place::InChunks),
];
const BACKEND_GOES_IN_HEAD: &[Fault] =
    &[Fault::Backend(How::Fin, Place::InHead), Fault::Backend(How::Rst, Place::InHead)];
const BACKEND_RESETS: &[Fault] = &[
    Fault::Backend(How::Stream, Place::BeforeHead),
    Fault::Backend(How::Stream, Place::InLength),
    Fault::Backend(How::Stream, Place::InChunks),
];

#[test]
fn http1_client_and_http1_backend() -> Result<()> {
    let faults = [ANSWERS, REFUSALS, CLIENT_GOES, BACKEND_GOES, BACKEND_GOES_IN_HEAD].concat();
    go_through(Backend::one, table(&faults), client1::run)
}

#[test]
fn http2_client_and_http1_backend() -> Result<()> {
    let faults =
        [ANSWERS, REFUSALS, CLIENT_GOES, CLIENT_RESETS, BACKEND_GOES, BACKEND_GOES_IN_HEAD];
    go_through(Backend::one, table(&faults.concat()), client2::run)
}

#[test]
fn http1_client_and_http2_backend() -> Result<()> {
    let faults = [ANSWERS, CLIENT_GOES, BACKEND_GOES, BACKEND_RESETS].concat();
    // hyper holds the body of a stream that has no window, and looks at nothing of it until there is
    // one: that its client has reset the connection shows when it has.
    let stays = |cell: &Cell| {
        let resets = [Fault::ClientInSilence(How::Rst), Fault::ClientInBody(How::Rst)];
        cell.read == Read::Stuck && resets.contains(&cell.fault)
    };
    let cells = table(&faults).into_iter().filter(|cell| !stays(cell)).collect();
    go_through(Backend::two, cells, client1::run)
}

#[test]
fn http2_client_and_http2_backend() -> Result<()> {
    let faults = [ANSWERS, CLIENT_GOES, CLIENT_RESETS, BACKEND_GOES, BACKEND_RESETS].concat();
    go_through(Backend::two, table(&faults), client2::run)
}
