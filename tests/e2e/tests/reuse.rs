//! Kept connections to a backend: which of them is used, and what happens when the backend closes
//! one at the very moment it is used again.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{
    Cells, Gate, Stage,
    http1::{Backend, Client, Exchange},
    http2,
};
use dispa_lab::{Lab, until};
use http::Method;

const SOON: Duration = Duration::from_secs(10);

const THREADS: usize = 4;
const REQUESTS: usize = 500;
/// Every so manieth request is a POST.
const POSTS: usize = 4;

/// What came on connections that were as good as closed.
type Late = Arc<Mutex<String>>;

/// Answers one request with its path; closes a little later, whatever comes meanwhile.
fn answer_and_close(
    exchange: &mut Exchange<'_>,
    pauses: &AtomicU64,
    late: &Late,
) -> io::Result<()> {
    exchange.read_all()?;
    let path = exchange.head.word(1).to_owned();
    exchange.answer("200 OK", path)?;
    // From no time at all to about what a whole exchange takes.
    let pause = 1 + pauses.fetch_add(137, Ordering::Relaxed) % 700;
    exchange.stream().set_read_timeout(Some(Duration::from_micros(pause)))?;
    let early = exchange.receive().unwrap_or_default();
    exchange.stream().set_read_timeout(Some(SOON))?;
    exchange.finish()?;
    let rest = exchange.receive().unwrap_or_default();
    let mut late = late.lock().unwrap_or_else(PoisonError::into_inner);
    late.push_str(&String::from_utf8_lossy(&[early, rest].concat()));
    Ok(())
}

/// Asks again and again; GETs must succeed, POSTs may be given up.
fn ask(thread: usize) -> Result<Cells> {
    let mut cells = Cells::new();
    let mut client = Client::connect(Stage::DOOR)?;
    for number in 0..REQUESTS {
        let (post, path) = (number % POSTS == 0, format!("/{thread}-{number}"));
        let (method, body) = if post { ("POST", "body") } else { ("GET", "") };
        let (host, length) = (Stage::HOST, body.len());
        client.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}"
        ))?;
        let answer = client.try_answer(method)?;
        let told = answer.as_ref().map(|answer| (answer.status, answer.text(), answer.whole));
        let good = told == Some((200, path.clone(), true));
        let given_up = post && told.as_ref().is_some_and(|(status, ..)| *status == 502);
        cells.run(format!("{method} {path}"), || {
            ensure!(good || given_up, "{told:?}");
            Ok(())
        });
        if answer.is_none_or(|answer| answer.head.list("connection").contains("close")) {
            client = Client::connect(Stage::DOOR)?;
        }
    }
    Ok(cells)
}

#[test]
fn a_connection_closed_just_as_it_is_used_costs_no_get_and_repeats_no_post() -> Result<()> {
    Lab::run(|lab| {
        let (late, pauses) = (Late::default(), AtomicU64::new(0));
        let noting = Arc::clone(&late);
        let backend = Backend::start(Stage::BACKEND, move |exchange| {
            answer_and_close(exchange, &pauses, &noting)
        })?;
        let stage = Stage::start(lab, &Stage::config())?;
        thread::scope(|scope| {
            let asking: Vec<_> =
                (0..THREADS).map(|number| scope.spawn(move || ask(number))).collect();
            for thread in asking {
                thread.join().ok().context("a thread panicked")??.verdict()?;
            }
            anyhow::Ok(())
        })?;
        let late = late.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut posts = BTreeMap::<_, usize>::new();
        let heads = backend.seen().into_iter().map(|seen| seen.head.start);
        for line in heads.chain(late.lines().map(str::to_owned)) {
            if let Some(post) = line.split_once("POST /").and_then(|it| it.1.split(' ').next()) {
                *posts.entry(post.to_owned()).or_default() += 1;
            }
        }
        posts.retain(|_, count| *count > 1);
        ensure!(posts.is_empty(), "sent more than once: {posts:?}");
        ensure!(!late.is_empty(), "no connection was closed at the moment of its use");
        drop(stage);
        Ok(())
    })
}

/// Answers `/held/N` when gate N is open, and everything else at once, with the connection's number.
fn hold(exchange: &mut Exchange<'_>, gates: &[Gate]) -> io::Result<()> {
    let held = exchange.head.word(1).strip_prefix("/held/").and_then(|it| it.parse().ok());
    if let Some(gate) = held.and_then(|number: usize| gates.get(number)) {
        gate.wait();
    }
    let number = exchange.connection.to_string();
    exchange.answer("200 OK", number)
}

#[test]
fn the_connection_that_became_idle_last_is_used_first() -> Result<()> {
    Lab::run(|lab| {
        let gates = Arc::new([const { Gate::new() }; 3]);
        let holding = Arc::clone(&gates);
        let backend = Backend::start(Stage::BACKEND, move |exchange| hold(exchange, &*holding))?;
        let _stage = Stage::start(lab, &Stage::config())?;
        // One client connection: one worker.
        let client = http2::Client::connect(Stage::DOOR)?;
        let mut streams = Vec::new();
        for (number, gate) in gates.iter().enumerate() {
            let path = format!("/held/{number}");
            streams.push(client.open(http2::Request::new(Method::GET, Stage::HOST, &path)?, true)?);
            until(SOON, "the request", || (gate.waiting() == 1).then_some(()))?;
        }
        ensure!(backend.accepted() == 3, "{} connections", backend.accepted());
        let mut last = String::new();
        for number in [1, 2, 0] {
            gates[number].open();
            last = streams[number].answer()?.text();
        }
        for _ in 0..5 {
            let used = client.get(Stage::HOST, "/")?.text();
            ensure!(used == last, "connection {used} was used, and {last} was idle last");
        }
        ensure!(backend.accepted() == 3, "{} connections", backend.accepted());
        Ok(())
    })
}

/// Requests at once.
const MANY: usize = 24;
const MOST_IDLE: usize = 4;

#[test]
fn no_more_idle_connections_are_kept_than_allowed() -> Result<()> {
    Lab::run(|lab| {
        let gates = Arc::new([Gate::new()]);
        let holding = Arc::clone(&gates);
        let backend = Backend::start(Stage::BACKEND, move |exchange| hold(exchange, &*holding))?;
        let keys = format!("[targets.connections]\nmax_idle_per_target = {MOST_IDLE}");
        let _stage = Stage::start(lab, &Stage::config().sections(&keys))?;
        let mut clients = Vec::new();
        for _ in 0..MANY {
            let mut client = Client::connect(Stage::DOOR)?;
            client.send(format!("GET /held/0 HTTP/1.1\r\nHost: {}\r\n\r\n", Stage::HOST))?;
            clients.push(client);
        }
        until(SOON, "all requests", || (gates[0].waiting() == MANY).then_some(()))?;
        gates[0].open();
        for client in &mut clients {
            ensure!(client.answer()?.status == 200);
        }
        let few = until(SOON, "fewer idle connections", || {
            (backend.open().len() <= MOST_IDLE).then_some(())
        });
        few.with_context(|| format!("{} are open", backend.open().len()))?;
        ensure!(!backend.open().is_empty(), "none was kept");
        Ok(())
    })
}
