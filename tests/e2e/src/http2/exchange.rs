//! One request at a backend, and the hand that answers it.

use std::future::poll_fn;

use anyhow::{Result, anyhow};
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{HeaderMap, Response, StatusCode, request::Parts};
use tokio::{
    runtime::Handle,
    sync::{mpsc::UnboundedSender, oneshot},
};

use super::driver::wait_on;

/// What a backend may do to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Say that it takes no more streams (GOAWAY), and finish those it has.
    GoAway,
    /// Send nothing more (FIN).
    Finish,
    /// Break it off (RST).
    Reset,
}

/// What a handler asks of the task that drives its connection.
#[derive(Debug)]
pub(super) enum Order {
    /// Write all that was sent so far, and say when it is done.
    Flush(oneshot::Sender<()>),
    /// The same, and then this.
    End(End),
}

/// What a handler answers to, and with.
#[derive(Debug)]
pub struct Exchange {
    /// Its connection, counted from 1.
    pub connection: u64,
    /// Its place among the requests of its connection, counted from 1.
    pub order: u64,
    /// Its head.
    pub head: Parts,
    pub(super) body: RecvStream,
    pub(super) read: Vec<u8>,
    pub(super) respond: SendResponse<Bytes>,
    pub(super) stream: Option<SendStream<Bytes>>,
    pub(super) orders: UnboundedSender<Order>,
    pub(super) handle: Handle,
}

impl Exchange {
    /// Its target, without the authority.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// Reads until this many bytes of the body have been read in all, or its end.
    pub fn read(&mut self, length: usize) -> Result<&[u8]> {
        while self.read.len() < length {
            let Some(part) = wait_on(&self.handle, self.body.data())? else { break };
            let part = part?;
            self.body.flow_control().release_capacity(part.len())?;
            self.read.extend_from_slice(&part);
        }
        Ok(&self.read)
    }

    /// Reads the body to its end.
    pub fn read_all(&mut self) -> Result<&[u8]> {
        self.read(usize::MAX)
    }

    /// What follows the body, which must have been read.
    pub fn trailers(&mut self) -> Result<Option<HeaderMap>> {
        Ok(wait_on(&self.handle, self.body.trailers())??)
    }

    /// Sends the head of a response; with `end` there is no body.
    pub fn begin(&mut self, status: u16, fields: &[(&str, &str)], end: bool) -> Result<()> {
        let mut response = Response::builder().status(StatusCode::from_u16(status)?);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        self.stream = Some(self.respond.send_response(response.body(())?, end)?);
        Ok(())
    }

    /// Sends a part of the body, once the peer's window lets it pass.
    pub fn send(&mut self, bytes: impl Into<Bytes>, end: bool) -> Result<()> {
        let stream = self.stream.as_mut().ok_or_else(|| anyhow!("no response has begun"))?;
        wait_on(&self.handle, push(stream, bytes.into(), end))?
    }

    /// Ends the body with trailers.
    pub fn send_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        let stream = self.stream.as_mut().ok_or_else(|| anyhow!("no response has begun"))?;
        Ok(stream.send_trailers(trailers)?)
    }

    /// Sends a response with a body.
    pub fn answer(&mut self, status: u16, body: impl Into<Bytes>) -> Result<()> {
        self.begin(status, &[], false)?;
        self.send(body, true)
    }

    /// Resets the stream. What was sent before goes out first.
    pub fn reset(&mut self, reason: Reason) -> Result<()> {
        let (done, is_done) = oneshot::channel();
        // Both fail where the connection has ended already.
        let _ = self.orders.send(Order::Flush(done));
        let _ = wait_on(&self.handle, is_done)?;
        self.respond.send_reset(reason);
        Ok(())
    }

    /// Waits for the peer to reset the stream or to end the connection.
    pub fn until_gone(&mut self) -> Result<()> {
        let Self { respond, stream, handle, .. } = self;
        // A reason and an error both mean that it is gone.
        let _ = wait_on(
            handle,
            poll_fn(|context| match stream {
                Some(stream) => stream.poll_reset(context),
                None => respond.poll_reset(context),
            }),
        )?;
        Ok(())
    }

    /// Ends the connection. What was sent before goes out first, unless it is reset.
    pub fn end(&self, how: End) {
        // Fails where the connection has ended already.
        let _ = self.orders.send(Order::End(how));
    }
}

/// Sends all of `bytes` as the peer's window lets them pass.
pub(super) async fn push(
    stream: &mut SendStream<Bytes>,
    mut bytes: Bytes,
    end: bool,
) -> Result<()> {
    if bytes.is_empty() && end {
        stream.send_data(bytes, end)?;
        return Ok(());
    }
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let most = poll_fn(|context| stream.poll_capacity(context)).await;
        let most = most.ok_or_else(|| anyhow!("the stream is closed"))??;
        let part = bytes.split_to(most.min(bytes.len()));
        stream.send_data(part, end && bytes.is_empty())?;
    }
    Ok(())
}
