//! An exchange that leaves HTTP (WebSocket, RFC 9110 section 7.8): from the 101 on, both sides'
//! bytes are relayed unread.

use std::rc::Rc;

use http::{Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;

use super::{
    finish::{Record, Recorded},
    headers::{put_upgrade, remove_one_hop},
    reply::{AnyBody, refusal},
    worker::Worker,
};
use crate::{net, types::Outcome, upstream::PooledBody};

/// The client's side of an upgrade that may come.
#[derive(Debug)]
pub(super) struct Upgrade {
    client: OnUpgrade,
}

impl Upgrade {
    /// Of a request that asks for one.
    pub(super) fn asked(request: &mut Request<Incoming>) -> Self {
        Self { client: hyper::upgrade::on(request) }
    }
}

/// Passes the backend's 101 on and relays what follows.
pub(super) fn switch(
    mut response: Response<PooledBody>,
    upgrade: Upgrade,
    record: Record,
    worker: &Rc<Worker>,
) -> Response<AnyBody> {
    let server = hyper::upgrade::on(&mut response);
    let Some(protocol) = remove_one_hop(response.headers_mut()) else {
        return refusal(Outcome::BackendFailed, record);
    };
    put_upgrade(response.headers_mut(), protocol);
    let (parts, _) = response.into_parts();
    worker.tasks.spawn(relay(upgrade.client, server, record));
    let mut answer = Response::new(Recorded::unrecorded(Either::Right(Full::default())));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = parts.headers;
    answer
}

async fn relay(client: OnUpgrade, server: OnUpgrade, mut record: Record) {
    let (Ok(client), Ok(server)) = tokio::join!(client, server) else {
        return record.outcome(Outcome::BackendFailed);
    };
    let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
    match net::relay(&mut client, &mut server).await {
        Ok((sent, received)) => {
            record.bytes(sent, received);
            record.outcome(Outcome::Ok);
        }
        Err(_) => record.outcome(Outcome::ClientAborted),
    }
}
