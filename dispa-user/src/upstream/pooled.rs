//! A response's body that gives its connection back once it was read to the end.

use std::{
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, client::conn::http1::SendRequest};

use super::{Connections, request_body::RequestBody};

/// The body of a backend's response.
///
/// Dropped before its end, it closes the connection: what is left on it is nobody's answer.
pub struct PooledBody {
    inner: Incoming,
    home: Option<Home>,
    ended: bool,
}

struct Home {
    connections: Rc<Connections>,
    backend: u32,
    sender: SendRequest<RequestBody>,
}

impl fmt::Debug for PooledBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledBody").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl PooledBody {
    pub(super) fn new(
        inner: Incoming,
        connections: Rc<Connections>,
        backend: u32,
        sender: SendRequest<RequestBody>,
    ) -> Self {
        Self { inner, home: Some(Home { connections, backend, sender }), ended: false }
    }

    /// A body whose connection is used for nothing else.
    pub(super) fn unpooled(inner: Incoming) -> Self {
        Self { inner, home: None, ended: false }
    }
}

impl Body for PooledBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        self.ended |= matches!(frame, Poll::Ready(None));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for PooledBody {
    fn drop(&mut self) {
        if !(self.ended || self.inner.is_end_stream()) {
            return;
        }
        if let Some(home) = self.home.take() {
            home.connections.put_idle(home.backend, home.sender);
        }
    }
}
