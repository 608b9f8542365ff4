//! Fields: those of one hop end here, others pass as they are.

use anyhow::{Result, ensure};
use dispa_e2e::{Cells, Stage, http2};
use http::Method;

use crate::recorder::Recorder;

/// Every field of one hop that there is, named or not by one of several Connection lines.
const ONE_HOP: &str = "Connection: keep-alive, X-One\r\nX-Kept: a\r\nConnection: , x-two ,TE\r\n\
     Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\n\
     Proxy-Authenticate: Basic\r\nTE: trailers, deflate\r\nUpgrade: unknown\r\nTrailer: X-Tail\r\n\
     X-One: 1\r\nx-two: 2\r\nX-ONE: 3\r\nX-Kept: b\r\n";

const GONE: [&str; 8] = [
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "te",
    "upgrade",
    "x-one",
    "x-two",
];

#[test]
fn fields_of_one_hop_do_not_pass() -> Result<()> {
    Recorder::run(&Stage::config(), |recorder| {
        recorder.reply(format!("HTTP/1.1 200 OK\r\n{ONE_HOP}content-length: 0\r\n\r\n"));
        let answer = recorder.answer(Recorder::get(ONE_HOP))?;
        let mut cells = Cells::new();
        let seen = recorder.head().unwrap_or_default();
        for (side, head) in [("request", seen), ("response", answer.head)] {
            for name in GONE {
                cells.run(format!("{name} of the {side}"), || {
                    ensure!(!head.has(name), "it passed: {:?}", head.field(name));
                    Ok(())
                });
            }
            cells.run(format!("what is kept of the {side}"), || {
                ensure!(
                    head.list("x-kept") == "a, b" && head.list("trailer") == "X-Tail",
                    "{head:?}"
                );
                ensure!(!head.list("connection").contains('x'), "{head:?}");
                Ok(())
            });
        }
        cells.verdict()
    })
}

#[test]
fn a_connection_line_cannot_take_away_what_a_request_needs() -> Result<()> {
    Recorder::run(&Stage::config(), |recorder| {
        let head = recorder.seen(format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nConnection: host, content-length\r\n\
             Content-Length: 4\r\n\r\nbody",
            Stage::HOST
        ))?;
        ensure!(head.list("host") == Stage::HOST, "{head:?}");
        ensure!(recorder.body().bytes == b"body", "{:?}", recorder.body());
        Ok(())
    })
}

#[test]
fn other_fields_pass_as_they_are() -> Result<()> {
    Recorder::run(&Stage::config(), |recorder| {
        let fields = "X-A: 1\r\nUser-Agent: a\tb\r\nx-a: 2\r\nX-Empty:\r\nAccept: */*\r\n\
                      Cookie: a=1\r\nX-High: \u{e9}\r\n";
        recorder.reply(
            "HTTP/1.1 299 Odd But Fine\r\nSet-Cookie: a=1\r\nServer: b\r\nset-cookie: c=2\r\n\
             content-length: 0\r\n\r\n",
        );
        let answer = recorder.answer(Recorder::get(fields))?;
        let head = recorder.head().unwrap_or_default();
        for (name, value) in [
            ("x-a", "1, 2"),
            ("user-agent", "a\tb"),
            ("accept", "*/*"),
            ("cookie", "a=1"),
            ("x-high", "\u{e9}"),
        ] {
            ensure!(head.list(name) == value, "{name}: {head:?}");
        }
        ensure!(head.field("x-empty") == Some(""), "{head:?}");
        ensure!(answer.status == 299 && answer.head.list("server") == "b", "{answer:?}");
        ensure!(answer.head.list("set-cookie") == "a=1, c=2", "{answer:?}");
        Ok(())
    })
}

fn http2_get() -> Result<http2::Request> {
    http2::Request::new(Method::GET, Stage::HOST, "/")
}

#[test]
fn via_names_this_hop() -> Result<()> {
    Recorder::run(&Stage::config(), |recorder| {
        let mut cells = Cells::new();
        let mut see = |name: &str, found: Result<String>, wanted: &str| {
            cells.run(name, || {
                let found = found?;
                ensure!(found == wanted, "{found:?}, not {wanted:?}");
                Ok(())
            });
        };
        let via = |request: &str| Ok(recorder.seen(request)?.list("via"));
        see("request", via(&Recorder::get("")), "1.1 dispa");
        let earlier = "Via: 1.0 one\r\nVia: 1.1 two (a comment)\r\n";
        let all = "1.0 one, 1.1 two (a comment), 1.1 dispa";
        see("request with earlier hops", via(&Recorder::get(earlier)), all);
        let seen = http2_get().and_then(|request| recorder.seen_of(request));
        see("HTTP/2 request", seen.map(|head| head.list("via")), "2 dispa");
        let answered = || Ok(recorder.answer(Recorder::get(""))?.head.list("via"));
        see("response", answered(), "1.1 dispa");
        recorder.reply("HTTP/1.1 200 OK\r\nVia: 1.1 cache\r\ncontent-length: 0\r\n\r\n");
        see("response with an earlier hop", answered(), "1.1 cache, 1.1 dispa");
        cells.verdict()
    })
}

#[test]
fn via_has_another_name_or_none() -> Result<()> {
    Recorder::run(&Stage::http("via = \"edge\""), |recorder| {
        let head = recorder.seen(Recorder::get(""))?;
        ensure!(head.list("via") == "1.1 edge", "{head:?}");
        Ok(())
    })?;
    Recorder::run(&Stage::http("via = \"\""), |recorder| {
        let answer = recorder.answer(Recorder::get("Via: 1.0 one\r\n"))?;
        let head = recorder.head().unwrap_or_default();
        ensure!(head.list("via") == "1.0 one" && !answer.head.has("via"), "{head:?} {answer:?}");
        Ok(())
    })
}

/// What a backend is told of an upgrade to `protocol`.
fn upgrade(recorder: &Recorder, protocol: &str) -> Result<String> {
    let fields = format!("Connection: upgrade\r\nUpgrade: {protocol}\r\n");
    Ok(recorder.seen(Recorder::get(&fields))?.list("upgrade"))
}

#[test]
fn only_listed_protocols_are_asked_for() -> Result<()> {
    Recorder::run(&Stage::http("upgrades = [\"websocket\", \"other\"]"), |recorder| {
        let (other, unknown) = (upgrade(recorder, "other")?, upgrade(recorder, "h2c")?);
        ensure!(other == "other" && unknown.is_empty(), "{other:?}, {unknown:?}");
        Ok(())
    })?;
    Recorder::run(&Stage::config(), |recorder| {
        let (other, both) = (upgrade(recorder, "other")?, upgrade(recorder, "h2c, other")?);
        ensure!(other.is_empty() && both.is_empty(), "{other:?}, {both:?}");
        Ok(())
    })
}

#[test]
fn date_is_added_where_it_is_missing() -> Result<()> {
    Recorder::run(&Stage::config(), |recorder| {
        let date = || anyhow::Ok(recorder.answer(Recorder::get(""))?.head.list("date"));
        let added: String = date()?;
        // Such as "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7).
        ensure!(added.len() == 29 && added.ends_with(" GMT"), "{added:?}");
        let own = "Sun, 06 Nov 1994 08:49:37 GMT";
        recorder.reply(format!("HTTP/1.1 200 OK\r\nDate: {own}\r\ncontent-length: 0\r\n\r\n"));
        let kept: String = date()?;
        ensure!(kept == own, "{kept:?}");
        Ok(())
    })
}
