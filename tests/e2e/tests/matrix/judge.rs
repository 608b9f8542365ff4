//! What a client may get.

use anyhow::{Result, bail, ensure};

use crate::cell::{Cell, Fault, Place, answer_of};

/// What came to the client.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) whole: bool,
}

/// Whether this is what the client should get; none where its connection or stream ended instead.
pub(crate) fn judge(cell: Cell, token: &str, got: Option<&Got>) -> Result<()> {
    let Some(got) = got else { bail!("no answer") };
    let Got { status, body, whole } = got;
    let begin = String::from_utf8_lossy(body).chars().take(80).collect::<String>();
    let told = format!("{status}, {} bytes ({begin:?}), whole: {whole}", body.len());
    match cell.fault {
        Fault::Early => ensure!(*status == 200, "{told}"),
        Fault::EarlyError => ensure!(*status == 500, "{told}"),
        Fault::Refused(refusal) => ensure!(*status == refusal, "{told}"),
        Fault::Backend(_, Place::InLength | Place::InChunks) if *status == 200 => {
            ensure!(!whole, "a cut response looks whole: {told}");
            ensure!(answer_of(token).starts_with(body), "{told}");
            return Ok(());
        }
        Fault::Backend(..) => {
            ensure!(*status == 502 && *whole, "{told}");
            return Ok(());
        }
        Fault::ClientInSilence(_) | Fault::ClientInBody(_) => bail!("the client has gone: {told}"),
    }
    ensure!(*whole && *body == answer_of(token), "not the whole answer: {told}");
    Ok(())
}
