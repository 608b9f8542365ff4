//! An upload whose client waits to be asked for it, and whose first backend cannot be reached.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, ensure};
use dispa_e2e::{
    Cells, Site, Stage,
    http1::{Backend, Client, Exchange},
};
use dispa_lab::{Config, Lab, Record, until};

use crate::{NO_VERDICTS, OTHER};

const SOON: Duration = Duration::from_secs(20);

/// More than what fits into the buffers of a socket at once.
const LENGTH: usize = 500_000;
const UPLOADS: usize = 8;

/// Whether a backend says itself that it wants the body.
#[derive(Clone, Copy)]
enum Asks {
    Yes,
    No,
}

fn take(exchange: &mut Exchange<'_>, asks: Asks, bodies: &Mutex<Vec<Vec<u8>>>) -> io::Result<()> {
    let expects = exchange.head.list("expect").eq_ignore_ascii_case("100-continue");
    if expects && matches!(asks, Asks::Yes) {
        exchange.send("HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let body = exchange.read_all()?.bytes.clone();
    bodies.lock().unwrap_or_else(PoisonError::into_inner).push(body);
    exchange.answer("200 OK", "taken")
}

fn upload(body: &[u8]) -> Result<()> {
    let mut client = Client::connect(Stage::DOOR)?;
    let (host, length) = (Stage::HOST, body.len());
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    ))?;
    let asked = client.head()?;
    ensure!(asked.status() == 100, "{asked:?}");
    client.send(body)?;
    let answer = client.answer()?;
    ensure!(answer.status == 200 && answer.text() == "taken", "{answer:?}");
    Ok(())
}

fn arrives_whole(config: &Config, asks: Asks) -> Result<()> {
    Lab::run(|lab| {
        let bodies = Arc::new(Mutex::default());
        let kept = Arc::clone(&bodies);
        let _backend = Backend::start(Stage::BACKEND, move |exchange| take(exchange, asks, &kept))?;
        let stage = Stage::start(lab, config)?;
        let body: Vec<_> = (0..LENGTH).map(|number| number.to_le_bytes()[number % 3]).collect();
        for _ in 0..UPLOADS {
            upload(&body)?;
        }
        let bodies = bodies.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(
            bodies.len() == UPLOADS && bodies.iter().all(|it| *it == body),
            "not as it was sent"
        );
        let taken = |it: &Record| it.has(&[("target", "backend"), ("outcome", "ok")]);
        until(SOON, "a record of each", || {
            let records = stage.dispa.records("exchange");
            (records.iter().filter(|it| taken(it)).count() == UPLOADS).then_some(())
        })?;
        Ok(())
    })
}

#[test]
fn an_upload_that_waits_to_be_asked_arrives_whole_at_another_backend() -> Result<()> {
    let after = Stage::config().target("nobody", OTHER).sections(NO_VERDICTS);
    let mut cells = Cells::new();
    cells.run("the backend asks for it", || arrives_whole(&after, Asks::Yes));
    cells.run("the backend only reads it", || arrives_whole(&after, Asks::No));
    cells.verdict()
}

/// curl waits a second at most; then it sends the body all the same.
#[test]
fn curls_upload_that_waits_to_be_asked_arrives_whole_at_another_backend() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let config = Config::new(&[Site::NAME, Site::DOOR])
            .target("nobody", OTHER)
            .target("one", Site::backend(1))
            .sections(NO_VERDICTS);
        let _dispa = site.dispa(&config)?;
        let file = lab.file("upload", &"0123456789abcdef".repeat(60_000))?.display().to_string();
        let digest = site.client("sha256sum", &[&file])?;
        let mut cells = Cells::new();
        for way in Site::WAYS {
            for number in 0..4 {
                let url = format!("{way}/sha256");
                let told =
                    site.curl(&["-H", "Expect: 100-continue", "-X", "POST", "-T", &file, &url]);
                cells.run(format!("{number} {way}"), || {
                    let told = told?;
                    ensure!(digest.split(' ').next() == Some(told.as_str()), "{told}");
                    Ok(())
                });
            }
        }
        cells.verdict()
    })
}
