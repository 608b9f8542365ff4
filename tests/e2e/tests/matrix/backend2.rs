//! The backend of HTTP/2 that acts.

use anyhow::Result;
use dispa_e2e::http2::{End, Exchange};
use h2::Reason;

use crate::{
    cell::{ANSWER, Cell, Fault, How, Place, answer_of},
    ledger::Ledger,
};

/// Answers a request as its cell wants it; one without a cell with its own path.
pub(crate) fn answer(exchange: &mut Exchange, ledger: &Ledger) -> Result<()> {
    let token = exchange.path().trim_start_matches('/').to_owned();
    let Some(cell) = ledger.script(&token) else {
        ledger.check_body(&token, exchange.read_all()?);
        return exchange.answer(200, token);
    };
    ledger.check_body(&token, exchange.read(cell.read.before_acting())?);
    ledger.reach(&token);
    act(exchange, cell, &token)?;
    if matches!(cell.fault, Fault::ClientInSilence(_) | Fault::ClientInBody(_)) {
        exchange.until_gone()?;
        ledger.end(&token);
    }
    Ok(())
}

fn act(exchange: &mut Exchange, cell: Cell, token: &str) -> Result<()> {
    let body = answer_of(token);
    let half = body[..ANSWER / 2].to_vec();
    let length = [("content-length", &*ANSWER.to_string())];
    match cell.fault {
        Fault::Early => exchange.answer(200, body),
        Fault::EarlyError => exchange.answer(500, body),
        Fault::Refused(status) => exchange.answer(status, body),
        Fault::ClientInSilence(_) => Ok(()),
        Fault::ClientInBody(_) => {
            exchange.begin(200, &length, false)?;
            exchange.send(half, false)
        }
        Fault::Backend(how, place) => {
            match place {
                Place::BeforeHead | Place::InHead => {}
                Place::InLength => exchange.begin(200, &length, false)?,
                Place::InChunks => exchange.begin(200, &[], false)?,
            }
            if matches!(place, Place::InLength | Place::InChunks) {
                exchange.send(half, false)?;
            }
            match how {
                How::Fin => exchange.end(End::Finish),
                How::Rst => exchange.end(End::Reset),
                How::Stream => exchange.reset(Reason::INTERNAL_ERROR)?,
            }
            exchange.until_gone()
        }
    }
}
