//! The backend of HTTP/1.1 that acts.

use std::io;

use dispa_e2e::http1::Exchange;

use crate::{
    cell::{ANSWER, Cell, Fault, How, Place, answer_of},
    ledger::Ledger,
};

/// Answers a request as its cell wants it; one without a cell with its own path.
pub(crate) fn answer(exchange: &mut Exchange<'_>, ledger: &Ledger) -> io::Result<()> {
    let token = exchange.head.word(1).trim_start_matches('/').to_owned();
    let Some(cell) = ledger.script(&token) else {
        exchange.read_all()?;
        ledger.check_body(&token, &exchange.body().bytes);
        return exchange.answer("200 OK", &token);
    };
    exchange.read(cell.read.before_acting())?;
    ledger.check_body(&token, &exchange.body().bytes);
    ledger.reach(&token);
    act(exchange, cell, &token)?;
    if ends(cell.fault) {
        watch_end(exchange, ledger, &token);
    }
    Ok(())
}

fn act(exchange: &mut Exchange<'_>, cell: Cell, token: &str) -> io::Result<()> {
    let body = answer_of(token);
    let half = &body[..ANSWER / 2];
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {ANSWER}\r\n\r\n");
    match cell.fault {
        Fault::Early => exchange.answer("200 OK", &body),
        Fault::EarlyError => {
            exchange.answer("500 Internal Server Error\r\nconnection: close", &body)?;
            exchange.finish()
        }
        Fault::Refused(status) => exchange.answer(&format!("{status} No"), &body),
        Fault::ClientInSilence(_) => Ok(()),
        Fault::ClientInBody(_) => exchange.send([head.as_bytes(), half].concat()),
        Fault::Backend(how, place) => {
            exchange.send(match place {
                Place::BeforeHead => vec![],
                Place::InHead => b"HTTP/1.1 200 OK\r\ncontent-le".to_vec(),
                Place::InLength => [head.as_bytes(), half].concat(),
                Place::InChunks => chunks(half),
            })?;
            if how == How::Fin { exchange.finish() } else { exchange.reset() }
        }
    }
}

/// The head of a chunked response, a whole chunk, and the beginning of another.
fn chunks(half: &[u8]) -> Vec<u8> {
    let (one, two) = half.split_at(half.len() / 2);
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let first = format!("{head}{:x}\r\n", one.len());
    let second = format!("\r\n{:x}\r\n", two.len() + 1);
    [first.as_bytes(), one, second.as_bytes(), two].concat()
}

/// Whether nothing may come on the connection after this.
fn ends(fault: Fault) -> bool {
    match fault {
        Fault::Early | Fault::Refused(_) | Fault::Backend(How::Rst, _) => false,
        Fault::EarlyError
        | Fault::ClientInSilence(_)
        | Fault::ClientInBody(_)
        | Fault::Backend(..) => true,
    }
}

/// Reads on: the rest of the request's body may come, then only the end.
fn watch_end(exchange: &mut Exchange<'_>, ledger: &Ledger, token: &str) {
    let more = exchange.read_all().map(drop).and_then(|()| exchange.receive());
    if let Ok(more) = more
        && !more.is_empty()
    {
        let more = String::from_utf8_lossy(&more);
        ledger.breach(format!("after {token} its connection was used again: {more:?}"));
    }
    exchange.close();
    ledger.end(token);
}
