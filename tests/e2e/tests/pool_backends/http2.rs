//! Two backends of HTTP/2, one of which is down, says goodbye, or says that it is not well.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{
    Stage,
    http1::Client,
    http2::{
        Backend, End, Exchange,
        frames::{Frame, Frames, PREFACE},
    },
    unwell::PROBES,
};
use dispa_lab::{Config, Connection, Lab, TcpServer, until};
use h2::server::Builder;

use crate::{NO_VERDICTS, OTHER};

const SOON: Duration = Duration::from_secs(20);

const THREADS: usize = 4;
const REQUESTS: usize = 100;
/// Some requests, after which a backend goes down.
const SOME: usize = THREADS * REQUESTS / 8;
/// A field with a backend's name.
const NAME: &str = "x-backend";
/// Requests after which a backend says goodbye to a connection.
const FAREWELL: u64 = 7;

/// Two backends, `backend` and `other`.
fn config(verdicts: &str) -> Config {
    let http2 = "protocol = \"http2\"";
    Stage::config().target_keys(http2).target("other", OTHER).target_keys(http2).sections(verdicts)
}

fn backend(address: std::net::SocketAddr, name: &'static str) -> Result<Backend> {
    Backend::start(address, &Builder::new(), move |exchange| exchange.answer(200, name))
}

/// Answers with its name in one frame: nobody is left with half of an answer.
fn in_one_frame(address: std::net::SocketAddr, name: &'static str) -> Result<Backend> {
    Backend::start(address, &Builder::new(), move |exchange| {
        exchange.begin(200, &[(NAME, name)], true)
    })
}

/// Each must be answered; how many were by `other`.
fn ask(post: bool) -> Result<usize> {
    let mut client = Client::connect(Stage::DOOR)?;
    let mut others = 0;
    for number in 0..REQUESTS {
        let is_post = post && number % 3 == 0;
        client.send(if is_post { Stage::post("/", 0) } else { Stage::get("/") })?;
        let answer = client.answer()?;
        ensure!(answer.status == 200 && answer.whole, "request {number}: {answer:?}");
        let who = answer.head.field(NAME).map_or_else(|| answer.text(), str::to_owned);
        others += usize::from(who == "other");
    }
    Ok(others)
}

/// [`ask`] on some threads at once, with something going on beside it.
fn ask_all(post: bool, beside: impl FnOnce()) -> Result<usize> {
    thread::scope(|scope| {
        let asking: Vec<_> = (0..THREADS).map(|_| scope.spawn(move || ask(post))).collect();
        beside();
        asking.into_iter().map(|thread| thread.join().ok().context("a client panicked")?).sum()
    })
}

#[test]
fn an_http2_backend_that_is_down_costs_no_request() -> Result<()> {
    Lab::run(|lab| {
        let _good = backend(Stage::BACKEND, "good")?;
        let _stage = Stage::start(lab, &config(NO_VERDICTS))?;
        ensure!(ask_all(true, || ())? == 0);
        Ok(())
    })
}

#[test]
fn an_http2_backend_that_goes_down_under_load_costs_no_request() -> Result<()> {
    Lab::run(|lab| {
        let _good = in_one_frame(Stage::BACKEND, "good")?;
        let other = in_one_frame(OTHER, "other")?;
        let _stage = Stage::start(lab, &config(NO_VERDICTS))?;
        let others = ask_all(false, || {
            // Where there are none the count below tells.
            let _ = until(SOON, "some requests", || (other.seen().len() > SOME).then_some(()));
            drop(other);
        })?;
        // Some of those it had when it went down went elsewhere.
        ensure!(
            (SOME / 2..THREADS * REQUESTS / 2 - 1).contains(&others),
            "{others} of the other's"
        );
        Ok(())
    })
}

/// Says that it has looked at no stream (GOAWAY), each time that one begins.
fn turn_away(connection: &Connection, turned_away: &AtomicU64) -> Result<()> {
    io::Read::read_exact(&mut &*connection.stream, &mut vec![0; PREFACE.len()])?;
    let mut frames = Frames::of(connection.stream.try_clone()?)?;
    frames.send(&[Frame::new(Frame::SETTINGS, 0, 0, [])])?;
    frames.until(|frame| frame.kind == Frame::HEADERS)?;
    turned_away.fetch_add(1, Ordering::Relaxed);
    frames.send(&[Frame::new(Frame::GOAWAY, 0, 0, [0; 8])])?;
    frames.rest().map(drop)
}

#[test]
fn what_an_http2_backend_turns_away_goes_to_the_other() -> Result<()> {
    Lab::run(|lab| {
        let good = backend(Stage::BACKEND, "good")?;
        let turned_away = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&turned_away);
        let _other = TcpServer::start(&[OTHER], move |connection| {
            turn_away(connection, &counted).map_err(io::Error::other)
        })?;
        let _stage = Stage::start(lab, &config(NO_VERDICTS))?;
        ask_all(true, || ())?;
        // None was taken twice.
        assert_eq!(good.seen().len(), THREADS * REQUESTS);
        let turned_away = turned_away.load(Ordering::Relaxed);
        println!("{turned_away} connections turned away, {} requests", good.seen().len());
        ensure!(turned_away > 10, "it had hardly a turn: {turned_away}");
        Ok(())
    })
}

fn say_goodbye(exchange: &mut Exchange) -> Result<()> {
    if exchange.order.is_multiple_of(FAREWELL) {
        exchange.end(End::GoAway);
    }
    exchange.answer(200, "other")
}

#[test]
fn an_http2_backend_that_says_goodbye_again_and_again_costs_no_request() -> Result<()> {
    Lab::run(|lab| {
        let good = backend(Stage::BACKEND, "good")?;
        let other = Backend::start(OTHER, &Builder::new(), say_goodbye)?;
        let stage = Stage::start(lab, &config("[targets.health_check]\nenabled = false"))?;
        let others = ask_all(true, || ())?;
        assert_eq!(others, other.seen().len());
        assert_eq!(good.seen().len() + others, THREADS * REQUESTS);
        ensure!(others >= THREADS * REQUESTS / 4, "{others} of the other's");
        let ejected = stage.dispa.records("ejected: it fails again and again");
        ensure!(ejected.is_empty(), "a farewell is no failure: {ejected:?}");
        Ok(())
    })
}

/// Answers `/health` with this status, and all else with its name.
fn with_health(status: &Arc<AtomicU16>) -> Result<Backend> {
    let status = Arc::clone(status);
    Backend::start(OTHER, &Builder::new(), move |exchange| match exchange.path() {
        "/health" => exchange.answer(status.load(Ordering::Relaxed), "health"),
        _ => exchange.answer(200, "other"),
    })
}

#[test]
fn probes_over_http2_take_a_backend_out_and_put_it_back() -> Result<()> {
    Lab::run(|lab| {
        let _good = backend(Stage::BACKEND, "good")?;
        let status = Arc::new(AtomicU16::new(503));
        let other = with_health(&status)?;
        let stage = Stage::start(lab, &config(PROBES))?;
        let count = |message: &str, number: usize| {
            until(SOON, message, || (stage.dispa.records(message).len() >= number).then_some(()))
        };
        let in_use = || ask(true).map(|others| others > REQUESTS / 4);

        let told = stage.dispa.record("unhealthy", &[("target", "other")])?;
        assert_eq!(told.text("error"), "status 503");
        ensure!(ask(true)? == 0 && other.seen_for("/").is_empty(), "not well, and in use");
        ensure!(!other.seen_for("/health").is_empty(), "no probe");

        status.store(200, Ordering::Relaxed);
        count("healthy", 1)?;
        ensure!(in_use()?, "well, and not in use");

        drop(other);
        count("unhealthy", 2)?;
        ensure!(!in_use()?, "down, and in use");

        let _again = with_health(&status)?;
        count("healthy", 2)?;
        ensure!(in_use()?, "well again, and not in use");
        let log = stage.dispa.log();
        let of_good =
            log.iter().find(|it| it.message().ends_with("healthy") && it.text("target") != "other");
        ensure!(of_good.is_none(), "{of_good:?}");
        Ok(())
    })
}
