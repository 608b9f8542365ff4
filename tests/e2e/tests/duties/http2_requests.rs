//! Requests of HTTP/2 as a backend of HTTP/1.1 sees them, and the other way round.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{
    Cells, Stage,
    http1::Client,
    http2::{self, Request},
};
use dispa_lab::Lab;
use http::{HeaderMap, Method};

use crate::recorder::Recorder;

fn get() -> Result<Request> {
    Request::new(Method::GET, Stage::HOST, "/a?b")
}

#[test]
fn a_request_of_http2_becomes_one_of_http1() -> Result<()> {
    Recorder::run(&Stage::config(), |recorder| {
        let mut cells = Cells::new();
        cells.run("authority", || {
            let head = recorder.seen_of(get()?)?;
            ensure!(head.start == "GET /a?b HTTP/1.1", "{head:?}");
            ensure!(head.list("host") == Stage::HOST, "{head:?}");
            ensure!(!head.has("transfer-encoding"), "{head:?}");
            Ok(())
        });
        cells.run("cookie crumbs", || {
            let crumbs = get()?.field("cookie", "a=1")?.field("cookie", "b=2")?;
            let head = recorder.seen_of(crumbs.field("cookie", "c=3")?)?;
            let lines = head.fields.iter().filter(|(name, _)| name == "cookie").count();
            ensure!(lines == 1 && head.list("cookie") == "a=1; b=2; c=3", "{head:?}");
            Ok(())
        });
        cells.run("the same host twice", || {
            let head = recorder.seen_of(get()?.field("host", Stage::HOST)?)?;
            ensure!(head.list("host") == Stage::HOST, "{head:?}");
            Ok(())
        });
        cells.run("two hosts", || {
            let answered = recorder.seen_of(get()?.field("host", "b.stage.test")?);
            ensure!(answered.is_err(), "it was forwarded: {answered:?}");
            Ok(())
        });
        cells.run("te", || {
            let head = recorder.seen_of(get()?.field("te", "trailers")?)?;
            ensure!(!head.has("te"), "{head:?}");
            Ok(())
        });
        cells.verdict()
    })
}

/// The last request's fields, as a backend of HTTP/2 got them.
type Got = Arc<Mutex<Option<(http::request::Parts, Vec<u8>, HeaderMap)>>>;

fn http2_backend(got: &Got) -> Result<http2::Backend> {
    let got = Arc::clone(got);
    let settings = h2::server::Builder::new();
    http2::Backend::start(Stage::BACKEND, &settings, move |exchange| {
        let body = exchange.read_all()?.to_vec();
        let trailers = exchange.trailers()?.unwrap_or_default();
        let request = (exchange.head.clone(), body, trailers);
        *got.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
        exchange.begin(
            200,
            &[("trailer", "x-sum"), ("set-cookie", "a=1"), ("set-cookie", "b=2")],
            false,
        )?;
        exchange.send("two", false)?;
        let trailers = [(http::HeaderName::from_static("x-sum"), "6".parse()?)];
        exchange.send_trailers(HeaderMap::from_iter(trailers))
    })
}

#[test]
fn a_request_of_http1_becomes_one_of_http2() -> Result<()> {
    Lab::run(|lab| {
        let got = Got::default();
        let _backend = http2_backend(&got)?;
        let config = Stage::config().target_keys("protocol = \"http2\"");
        let _stage = Stage::start(lab, &config)?;
        let mut client = Client::connect(Stage::DOOR)?;
        client.send(format!(
            "POST /a?b HTTP/1.1\r\nHost: {}\r\nConnection: te, x-hop\r\nTE: trailers\r\n\
             X-Hop: 1\r\nKeep-Alive: 1\r\nTrailer: X-Tail\r\nX-Upper: Case\r\nTransfer-Encoding: chunked\r\n\r\n\
             4\r\nbody\r\n0\r\nX-Tail: t\r\n\r\n",
            Stage::HOST
        ))?;
        let answer = client.answer()?;
        ensure!(answer.status == 200 && answer.text() == "two" && answer.whole, "{answer:?}");
        ensure!(answer.head.list("set-cookie") == "a=1, b=2", "{answer:?}");
        ensure!(answer.head.list("via") == "2 dispa", "{answer:?}");
        ensure!(answer.trailers == [("x-sum".to_owned(), "6".to_owned())], "{answer:?}");

        let got = got.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (head, body, trailers) = got.context("the backend saw nothing")?;
        let field = |name: &str| head.headers.get(name).and_then(|it| it.to_str().ok());
        ensure!(
            head.method == Method::POST && head.uri.path_and_query().is_some_and(|it| it == "/a?b"),
            "{head:?}"
        );
        ensure!(head.uri.authority().is_some_and(|it| it == Stage::HOST), "{head:?}");
        ensure!(field("x-upper") == Some("Case") && field("via") == Some("1.1 dispa"), "{head:?}");
        ensure!(field("te").is_none_or(|te| te == "trailers"), "{head:?}");
        for name in ["connection", "x-hop", "keep-alive", "transfer-encoding", "upgrade"] {
            ensure!(field(name).is_none(), "{name}: {head:?}");
        }
        ensure!(field("host").is_none_or(|host| host == Stage::HOST), "{head:?}");
        ensure!(body == b"body", "{body:?}");
        ensure!(trailers.get("x-tail").is_some_and(|it| it == "t"), "{trailers:?}");
        Ok(())
    })
}

/// As calls of gRPC are answered: what follows the body was never announced.
#[test]
fn between_http2_and_http2_every_trailer_passes() -> Result<()> {
    Lab::run(|lab| {
        let settings = h2::server::Builder::new();
        let _backend = http2::Backend::start(Stage::BACKEND, &settings, |exchange| {
            let body = exchange.read_all()?.to_vec();
            let trailers = exchange.trailers()?.unwrap_or_default();
            exchange.begin(200, &[("content-type", "application/grpc")], false)?;
            exchange.send(body, false)?;
            exchange.send_trailers(trailers)
        })?;
        let config = Stage::config().target_keys("protocol = \"http2\"");
        let _stage = Stage::start(lab, &config)?;
        let client = http2::Client::connect(Stage::DOOR)?;
        let request = Request::new(Method::POST, Stage::HOST, "/")?.field("te", "trailers")?;
        let mut stream = client.open(request, false)?;
        stream.send("call", false)?;
        let sent = [(http::HeaderName::from_static("grpc-status"), "0".parse()?)];
        stream.trailers(HeaderMap::from_iter(sent))?;
        let answer = stream.answer()?;
        ensure!(answer.status == 200 && answer.text() == "call", "{answer:?}");
        ensure!(
            answer.trailers.is_some_and(|it| it["grpc-status"] == "0"),
            "no trailers came back"
        );
        Ok(())
    })
}
