//! A client of HTTP/2 that goes through a cell.

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{
    Stage,
    http2::{Client, Request, Stream},
};
use h2::Reason;
use http::Method;

use crate::{
    cell::{ANSWER, Cell, Fault, How, Read, SIZE, bytes_of},
    judge::{Got, judge},
    ledger::Ledger,
};

/// Goes through `cell`, on a connection that has served one request already.
pub(crate) fn run(cell: Cell, token: &str, ledger: &Ledger) -> Result<()> {
    let client = Client::connect(Stage::DOOR)?;
    canary(&client, &format!("before-{token}"))?;
    let mut stream = client.open(request(cell, token)?, false)?;
    let body = bytes_of(token, SIZE);
    // Fails where the answer came first, which is to be seen below.
    let _ = match cell.read {
        Read::Nothing | Read::All => stream.send(body.clone(), true),
        // One window is not yet used up, and no more may be sent until the answer has come.
        Read::Half | Read::Stuck => stream.send(body[..SIZE / 2].to_vec(), false),
    };
    match cell.fault {
        Fault::ClientInSilence(how) | Fault::ClientInBody(how) => {
            ledger.wait_reached(token)?;
            begin_body(&mut stream, cell)?;
            if how == How::Stream {
                stream.reset(Reason::CANCEL);
                drop(stream);
                ledger.wait_ended(token)?;
                return canary(&client, &format!("after-{token}"));
            }
            if how == How::Rst {
                client.reset()?;
            } else {
                client.close()?;
            }
            // Dropped earlier it would be reset first.
            drop(stream);
            ledger.wait_ended(token)
        }
        Fault::Early | Fault::EarlyError | Fault::Refused(_) | Fault::Backend(..) => {
            let answer = stream.answer();
            if cell.fault == Fault::Refused(200) {
                // That would say that the tunnel is there (RFC 8441 section 5).
                let accepted = answer.is_ok_and(|answer| answer.status != 502);
                ensure!(!accepted, "the tunnel looks open");
                return canary(&client, &format!("after-{token}"));
            }
            let answer = answer?;
            let whole = answer.cut.is_none();
            judge(cell, token, Some(&Got { status: answer.status, body: answer.body, whole }))?;
            if cell.read == Read::Half {
                // Fails where the stream was closed meanwhile, which is as good.
                let _ = stream.send(body[SIZE / 2..].to_vec(), true);
            }
            drop(stream);
            canary(&client, &format!("after-{token}")).context("on the same connection")
        }
    }
}

fn request(cell: Cell, token: &str) -> Result<Request> {
    let (host, path) = (Stage::HOST, format!("/{token}"));
    if matches!(cell.fault, Fault::Refused(_)) {
        return Request::websocket(host, &path);
    }
    let length = cell.read.length().to_string();
    Request::new(Method::POST, host, &path)?.field("content-length", &length)
}

/// Reads all that comes of the response, where there is to be one.
fn begin_body(stream: &mut Stream, cell: Cell) -> Result<()> {
    if matches!(cell.fault, Fault::ClientInBody(_)) {
        let (status, _, mut incoming) = stream.head()?;
        ensure!(status == 200, "{status}");
        let mut count = 0;
        while count < ANSWER / 2 {
            count += stream.part(&mut incoming)?.context("the body ended")?.len();
        }
    }
    Ok(())
}

/// A GET of a token's own is answered with it.
pub(crate) fn canary(client: &Client, token: &str) -> Result<()> {
    let answer = client.get(Stage::HOST, &format!("/{token}"))?;
    let text = answer.text();
    ensure!(answer.status == 200 && text == token && answer.cut.is_none(), "{token}: {answer:?}");
    Ok(())
}
