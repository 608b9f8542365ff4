//! DNS over TCP (RFC 7766): both directions are relayed byte for byte; an answer is held until it
//! is complete and what it says of intercepted names is in the kernel's map.

use std::{cell::RefCell, io, time::Instant};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{dns_udp::intercepted, finish::Record, origin::Arrival, worker::Worker};
use crate::{
    dns::{InFlight, lesson},
    metrics::Transport,
    net::reset,
    types::Outcome,
};

/// Read at once.
const CHUNK: usize = 4096;

/// Relays a connection to a resolver.
pub(super) async fn relay(
    mut client: TcpStream,
    arrival: &Arrival,
    mut record: Record,
    worker: &Worker,
) {
    let mut resolver = match worker.connections.dial(arrival.origin.0, 0).await {
        Ok(resolver) => resolver,
        Err(error) => {
            tracing::debug!(%error, "the resolver cannot be reached");
            record.outcome(Outcome::OriginUnreachable);
            return reset(client);
        }
    };
    let in_flight = RefCell::new(InFlight::default());
    let (from_client, to_client) = client.split();
    let (from_resolver, to_resolver) = resolver.split();
    let questions = copy(from_client, to_resolver, |message| {
        worker.ending.ledger.metrics.question(Transport::Tcp);
        if let Some(question) = intercepted(message, &worker.state()) {
            in_flight.borrow_mut().asked(question, Instant::now());
        }
    });
    let answers = copy(from_resolver, to_client, |message| {
        learn(message, &in_flight, worker);
    });
    if let Ok((sent, received)) = tokio::try_join!(questions, answers) {
        record.bytes(sent, received);
        record.outcome(Outcome::Relayed);
    } else {
        record.outcome(Outcome::ClientAborted);
        reset(client);
        reset(resolver);
    }
}

fn learn(message: &[u8], in_flight: &RefCell<InFlight>, worker: &Worker) {
    let now = Instant::now();
    let Some(asked) = in_flight.borrow_mut().answered(message, now) else { return };
    if let Some(lesson) = lesson(message, &asked)
        && let Some(interception) = &worker.interception
    {
        interception.learn(&lesson, now);
    }
}

/// Copies until the end, whole messages at a time, each seen by `look` before it goes on; the bytes
/// copied. What the end cuts short goes on as it is.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    look: impl Fn(&[u8]),
) -> io::Result<u64> {
    let mut pending = BytesMut::new();
    let mut copied = 0;
    loop {
        let mut whole = 0;
        while let Some(length) = message_length(&pending[whole..]) {
            look(&pending[whole + 2..whole + length]);
            whole += length;
        }
        copied += write(&mut to, &pending.split_to(whole)).await?;
        pending.reserve(CHUNK);
        if from.read_buf(&mut pending).await? == 0 {
            break;
        }
    }
    copied += write(&mut to, &pending).await?;
    to.shutdown().await?;
    Ok(copied)
}

async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<u64> {
    to.write_all(bytes).await?;
    Ok(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
}

/// The length of the first message with the two bytes that say it, once it is complete.
fn message_length(bytes: &[u8]) -> Option<usize> {
    let [high, low, ..] = *bytes else { return None };
    let length = 2 + usize::from(u16::from_be_bytes([high, low]));
    (bytes.len() >= length).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::copy;
    use proptest::prelude::{any, proptest};
    use std::cell::RefCell;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    proptest! {
        /// Whatever the messages and the reads, the bytes are the same and each message is seen.
        #[test]
        fn bytes_pass_unchanged_and_every_message_is_seen(
            messages in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..300), 0..8),
            rest in proptest::collection::vec(any::<u8>(), 0..2),
            step in 1..64_usize,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                let mut bytes = Vec::new();
                for message in &messages {
                    let length = u16::try_from(message.len()).expect("short");
                    bytes.extend_from_slice(&length.to_be_bytes());
                    bytes.extend_from_slice(message);
                }
                bytes.extend_from_slice(&rest);
                let (mut sender, from) = duplex(step);
                let (to, mut receiver) = duplex(1 << 20);
                let seen = RefCell::new(Vec::new());
                let send = async {
                    sender.write_all(&bytes).await.expect("memory does not fail");
                    drop(sender);
                };
                let relay = copy(from, to, |message| seen.borrow_mut().push(message.to_vec()));
                let mut received = Vec::new();
                let ((), copied, end) =
                    tokio::join!(send, relay, receiver.read_to_end(&mut received));
                end.expect("memory does not fail");
                assert_eq!(copied.expect("memory does not fail"), bytes.len() as u64);
                assert_eq!(received, bytes);
                assert_eq!(*seen.borrow(), messages);
            });
        }
    }
}
