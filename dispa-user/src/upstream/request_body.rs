//! A request's body on its way to a server, and the limit that runs from its last move.

use std::{
    cell::Cell,
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::UpstreamError;

/// When a request's body last moved; clones tell the same moment.
#[derive(Clone, Debug)]
pub(super) struct Progress(Rc<Cell<Instant>>);

impl Progress {
    /// The request is about to be sent.
    pub(super) fn begin() -> Self {
        Self(Rc::new(Cell::new(Instant::now())))
    }

    fn note(&self) {
        self.0.set(Instant::now());
    }

    /// Waits for `exchange` until nothing has moved for `limit`: an upload takes as long as it
    /// takes, and a server has the whole limit to answer once it has been sent.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        exchange: impl Future<Output = Result<T, UpstreamError>>,
    ) -> Result<T, UpstreamError> {
        let mut exchange = pin!(exchange);
        loop {
            let last = self.0.get();
            match timeout_at(last + limit, exchange.as_mut()).await {
                Ok(ended) => return ended,
                Err(_) if self.0.get() > last => {}
                Err(_) => return Err(UpstreamError::TimedOut(limit)),
            }
        }
    }
}

/// A client's body, or the nothing that a copy of a request without one has.
#[derive(Debug)]
pub(super) struct RequestBody {
    inner: Option<Incoming>,
    progress: Progress,
}

impl RequestBody {
    /// `inner`, whose moves are noted in `progress`.
    pub(super) fn new(inner: Incoming, progress: &Progress) -> Self {
        Self { inner: Some(inner), progress: progress.clone() }
    }

    /// Another one like it; only nothing can be had twice.
    pub(super) fn copy(&self) -> Option<Self> {
        self.is_end_stream().then(|| Self { inner: None, progress: self.progress.clone() })
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let frame = Pin::new(inner).poll_frame(context);
        if frame.is_ready() {
            self.progress.note();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}
