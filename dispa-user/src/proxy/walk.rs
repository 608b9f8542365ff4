//! The story of one connection.

use std::rc::Rc;

use dispa_common::DNS_PORT;
use tokio::net::TcpStream;

use super::{
    decide::{self, Way},
    dns_tcp,
    finish::Record,
    http1::{self, Begun},
    http2, origin, passthrough,
    peek::{self, Peeked, Spoken},
    serve::Client,
    worker::Worker,
};
use crate::{exchange::Protocol, net::reset, sniff::Verdict};

/// A connection that came through a slot: a program wanted to go elsewhere.
pub(super) async fn transparent(stream: TcpStream, worker: Rc<Worker>) {
    let Some(arrival) = origin::of(&stream, &worker) else {
        return reset(stream);
    };
    let mut record = Record::transparent(&arrival, &worker.ending);
    if arrival.left_alone {
        let unread = Peeked::unread(stream);
        return Box::pin(passthrough::to_origin(unread, &arrival, record, &worker)).await;
    }
    if arrival.origin.0.port() == DNS_PORT {
        record.protocol(Protocol::Dns);
        return Box::pin(dns_tcp::relay(stream, &arrival, record, &worker)).await;
    }
    let Ok(peeked) = Box::pin(peek::peek(stream, &arrival, &worker)).await else {
        return record.client_aborted();
    };
    if let Verdict::Tls(hello) = &peeked.verdict {
        record.tls(hello.server_name.as_ref());
    }
    let way = decide::connection(&peeked, &arrival, &worker.state());
    match way {
        Way::Serve { host } => {
            record.replaced_by_exchanges();
            let client = Client::transparent(arrival, Some(host));
            let begun = Begun { seen: peeked.prefix, late: peeked.late };
            http1::serve(peeked.stream, begun, client, worker).await;
        }
        Way::ServeHttp2 { host } => {
            record.replaced_by_exchanges();
            let client = Client::transparent(arrival, host);
            Box::pin(http2::serve(peeked.stream, peeked.prefix.freeze(), client, worker)).await;
        }
        Way::Backend { rule } => {
            record.rule(&rule);
            Box::pin(passthrough::to_backend(peeked, &arrival, &rule, record, &worker)).await;
        }
        Way::Relay => Box::pin(passthrough::to_origin(peeked, &arrival, record, &worker)).await,
    }
}

/// A connection to the explicit door: the client knows it speaks to a proxy.
pub(super) async fn explicit(stream: TcpStream, worker: Rc<Worker>) {
    let Some(client) = origin::of_explicit(&stream, &worker) else { return };
    match Box::pin(peek::http(stream, &worker)).await {
        Some(Spoken::Http1(stream, seen)) => {
            http1::serve(stream, Begun { seen, late: false }, client, worker).await;
        }
        Some(Spoken::Http2(stream, seen)) => {
            Box::pin(http2::serve(stream, seen.freeze(), client, worker)).await;
        }
        None => {}
    }
}
