//! The end of a probe of the path: it hears whether it arrived where it wanted to.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::worker::Worker;

/// Longer than it takes a probe to read its answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether what comes from `client` is a probe.
pub(super) fn is_probe(client: SocketAddr, worker: &Worker) -> bool {
    worker.interception.as_ref().is_some_and(|it| it.path().expects(client))
}

/// Tells the probe from `client`; one that arrived elsewhere is told nothing.
pub(super) async fn answer(mut stream: TcpStream, client: SocketAddr, worker: Rc<Worker>) {
    let Some(interception) = &worker.interception else { return };
    let here = stream.local_addr().ok();
    let destination = here.and_then(|here| interception.probed_at(here));
    let word = destination.and_then(|it| interception.path().word_for(client, it));
    let Some(word) = word else { return };
    if stream.write_all(&word).await.is_ok() {
        // Who closes first has the address for a minute (TIME_WAIT): it resets the connection instead.
        let _ = timeout(PATIENCE, stream.read(&mut [0])).await;
    }
}
