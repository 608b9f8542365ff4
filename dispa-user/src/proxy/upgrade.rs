//! An exchange that leaves HTTP (WebSocket, RFC 9110 section 7.8): from the 101 on, both sides'
//! bytes are relayed unread.

use std::rc::Rc;

use http::{Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;

use super::{
    finish::{Record, Recorded},
    headers::{put_websocket, remove_one_hop},
    reply::{AnyBody, refusal},
    worker::Worker,
};
use crate::{
    net::{self, Relayed, Side},
    types::Outcome,
    upstream::PooledBody,
};

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
    if !remove_one_hop(response.headers_mut()) {
        // It changes to what nobody asked for.
        return refusal(Outcome::BackendFailed, record);
    }
    put_websocket(response.headers_mut());
    let (parts, _) = response.into_parts();
    worker.tasks.spawn(relay(upgrade.client, server, record));
    let mut answer = Response::new(Recorded::unrecorded(Either::Right(Full::default())));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = parts.headers;
    answer
}

async fn relay(client: OnUpgrade, server: OnUpgrade, mut record: Record) {
    let (client, server) = match tokio::join!(client, server) {
        (Ok(client), Ok(server)) => (client, server),
        (Err(_), _) => return record.outcome(Outcome::ClientAborted),
        (Ok(_), Err(_)) => return record.outcome(Outcome::BackendFailed),
    };
    let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
    let Relayed { sent, received, failed } = net::relay(&mut client, &mut server).await;
    record.bytes(sent, received);
    record.outcome(match failed {
        None => Outcome::Ok,
        Some(Side::Client) => Outcome::ClientAborted,
        Some(Side::Server) => Outcome::BackendFailed,
    });
}
