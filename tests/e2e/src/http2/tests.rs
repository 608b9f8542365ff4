//! The client, the backend and the frames as they see one another.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dispa_lab::{Lab, until};
use h2::{Reason, client, server};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{
    Backend, Client, End, Exchange, Request,
    frames::{Frame, Frames, get},
};
use crate::gate::Gate;

const SOON: Duration = Duration::from_secs(10);

fn address() -> Result<SocketAddr> {
    Ok("127.0.0.1:80".parse()?)
}

fn act(exchange: &mut Exchange) -> Result<()> {
    let half = |exchange: &mut Exchange| {
        exchange.begin(200, &[("content-length", "8")], false)?;
        exchange.send("half", false)
    };
    match exchange.path().to_owned().as_str() {
        "/echo" => {
            let body = exchange.read_all()?.to_vec();
            let trailers = exchange.trailers()?.unwrap_or_default();
            exchange.begin(201, &[("x-a", "1"), ("x-a", "2")], false)?;
            exchange.send(body, false)?;
            exchange.send_trailers(trailers)
        }
        "/reset" => {
            half(exchange)?;
            exchange.reset(Reason::CANCEL)?;
            exchange.until_gone()
        }
        "/fin" => {
            half(exchange)?;
            exchange.end(End::Finish);
            exchange.until_gone()
        }
        "/rst" => {
            half(exchange)?;
            exchange.end(End::Reset);
            exchange.until_gone()
        }
        "/away" => {
            exchange.end(End::GoAway);
            exchange.answer(200, "bye")
        }
        "/silent" => exchange.until_gone(),
        path => exchange.answer(200, path.to_owned()),
    }
}

fn with_backend(test: impl FnOnce(&Backend) -> Result<()> + Send) -> Result<()> {
    Lab::run(|_| test(&Backend::start(address()?, &server::Builder::new(), act)?))
}

#[test]
fn bodies_and_trailers_pass_whole() -> Result<()> {
    with_backend(|backend| {
        let client = Client::connect(address()?)?;
        let mut stream = client.open(Request::new(Method::POST, "a.test", "/echo")?, false)?;
        // Several windows.
        let body = vec![b'x'; 1_000_000];
        let trailer = (HeaderName::from_static("x-t"), HeaderValue::from_static("t"));
        stream.send(body.clone(), false)?;
        stream.trailers(HeaderMap::from_iter([trailer]))?;
        let answer = stream.answer()?;
        ensure!(answer.status == 201 && answer.list("x-a") == "1, 2" && answer.body == body);
        ensure!(answer.cut.is_none() && answer.trailers.is_some_and(|it| it["x-t"] == "t"));
        let seen = backend.seen().pop().context("nothing seen")?;
        ensure!((seen.connection, seen.order) == (1, 1) && seen.head.method == Method::POST);
        Ok(())
    })
}

#[test]
fn what_a_backend_breaks_off_is_seen_to_be_cut() -> Result<()> {
    with_backend(|backend| {
        for path in ["/reset", "/fin", "/rst"] {
            let answer = Client::connect(address()?)?.get("a.test", path)?;
            ensure!(answer.text() == "half" && answer.cut.is_some(), "{path}: {answer:?}");
        }
        until(SOON, "no open connection", || (backend.open() == 0).then_some(()))
    })
}

#[test]
fn a_farewell_lets_the_last_stream_end() -> Result<()> {
    with_backend(|_| {
        let mut client = Client::connect(address()?)?;
        let answer = client.get("a.test", "/away")?;
        ensure!(answer.text() == "bye" && answer.cut.is_none(), "{answer:?}");
        ensure!(client.ended()? == None);
        Ok(())
    })
}

#[test]
fn a_backend_sees_its_client_go() -> Result<()> {
    with_backend(|backend| {
        for number in 1..=3 {
            let client = Client::connect(address()?)?;
            let mut stream = client.open(Request::new(Method::GET, "a.test", "/silent")?, true)?;
            let load = || backend.connections().get(&number).copied().unwrap_or_default();
            until(SOON, "the request", || (load().now == 1).then_some(()))?;
            match number {
                1 => stream.reset(Reason::CANCEL),
                2 => client.close()?,
                _ => client.reset()?,
            }
            until(SOON, "its end", || (load().now == 0).then_some(()))?;
        }
        Ok(())
    })
}

#[test]
fn streams_at_once_are_counted() -> Result<()> {
    Lab::run(|_| {
        let gate = Arc::new(Gate::new());
        let waiting = Arc::clone(&gate);
        let backend = Backend::start(address()?, &server::Builder::new(), move |exchange| {
            waiting.wait();
            exchange.answer(200, "")
        })?;
        let client = Client::connect_with(address()?, &client::Builder::new())?;
        let request = Request::new(Method::GET, "a.test", "/")?;
        let mut streams = [client.open(request.clone(), true)?, client.open(request, true)?];
        until(SOON, "two requests", || (gate.waiting() == 2).then_some(()))?;
        gate.open();
        for stream in &mut streams {
            ensure!(stream.answer()?.status == 200);
        }
        until(SOON, "their ends", || {
            let load = backend.connections().get(&1).copied()?;
            ((load.now, load.most, load.open) == (0, 2, true)).then_some(())
        })
    })
}

#[test]
fn bare_frames_are_understood() -> Result<()> {
    with_backend(|backend| {
        let mut frames = Frames::connect(address()?)?;
        let path = format!("/{}", "long".repeat(100));
        let flags = Frame::END_STREAM | Frame::END_HEADERS;
        frames.send(&[Frame::new(Frame::HEADERS, flags, 1, get("a.test", &path))])?;
        let answer = frames.until(|it| it.kind == Frame::DATA && it.flags & 1 == 1)?;
        ensure!(Frames::data(&answer, 1) == path.as_bytes(), "{answer:?}");
        let seen = backend.seen().pop().context("nothing seen")?;
        ensure!(seen.head.uri.path() == path && seen.head.uri.authority().is_some());

        // A stream that was never begun.
        frames.send(&[Frame::new(Frame::DATA, 0, 5, *b"x")])?;
        let last = frames.rest()?;
        ensure!(last.iter().any(|it| it.kind == Frame::GOAWAY && it.code() == Some(1)), "{last:?}");
        Ok(())
    })
}
