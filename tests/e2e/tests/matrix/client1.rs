//! A client of HTTP/1.1 that goes through a cell.

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{Stage, http1::Client};

use crate::{
    cell::{ANSWER, Cell, Fault, How, Read, SIZE, bytes_of},
    judge::{Got, judge},
    ledger::Ledger,
};

/// Goes through `cell`, on a connection that has served one request already.
pub(crate) fn run(cell: Cell, token: &str, ledger: &Ledger) -> Result<()> {
    let mut client = Client::connect(Stage::DOOR)?;
    ensure!(canary(&mut client, &format!("before-{token}"))?, "closed after its first request");
    client.send(head(cell, token))?;
    let body = bytes_of(token, cell.read.length());
    let sent = client.fill(if cell.read == Read::Half { &body[..SIZE / 2] } else { &body })?;
    match cell.fault {
        Fault::ClientInSilence(how) | Fault::ClientInBody(how) => {
            go(client, cell, how, token, ledger)
        }
        Fault::Early | Fault::EarlyError | Fault::Refused(_) | Fault::Backend(..) => {
            stay(client, cell, token, &body[sent..])
        }
    }
}

fn head(cell: Cell, token: &str) -> String {
    let (host, length) = (Stage::HOST, cell.read.length());
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let (method, upgrade) =
        if matches!(cell.fault, Fault::Refused(_)) { ("GET", upgrade) } else { ("POST", "") };
    format!(
        "{method} /{token} HTTP/1.1\r\nHost: {host}\r\n{upgrade}Content-Length: {length}\r\n\r\n"
    )
}

/// Waits for the answer, sends what is left of the body, and asks once more.
fn stay(mut client: Client, cell: Cell, token: &str, rest: &[u8]) -> Result<()> {
    let got = client.try_answer("POST")?;
    let got = got.map(|it| Got { status: it.status, body: it.body, whole: it.whole });
    judge(cell, token, got.as_ref())?;
    if got.is_some_and(|got| !got.whole) {
        return client.ended();
    }
    if client.send(rest).is_err() {
        return Ok(());
    }
    canary(&mut client, &format!("after-{token}")).map(drop).context("on the same connection")
}

/// Goes, and sees that the backend is left as well.
fn go(mut client: Client, cell: Cell, how: How, token: &str, ledger: &Ledger) -> Result<()> {
    ledger.wait_reached(token)?;
    if matches!(cell.fault, Fault::ClientInBody(_)) {
        // All that has come: with something unread a close would be a reset.
        let head = client.head()?;
        ensure!(head.status() == 200, "{head:?}");
        client.read(ANSWER / 2)?;
    }
    if how == How::Rst {
        client.reset()?;
    } else {
        drop(client);
    }
    ledger.wait_ended(token)
}

/// Whether a GET of a token's own is answered with it; no answer at all is possible too.
pub(crate) fn canary(client: &mut Client, token: &str) -> Result<bool> {
    let request = format!("GET /{token} HTTP/1.1\r\nHost: {}\r\n\r\n", Stage::HOST);
    if client.send(request).is_err() {
        return Ok(false);
    }
    let Some(answer) = client.try_answer("GET")? else { return Ok(false) };
    let text = answer.text();
    ensure!(answer.status == 200 && text == token && answer.whole, "{token}: {answer:?}");
    Ok(true)
}
