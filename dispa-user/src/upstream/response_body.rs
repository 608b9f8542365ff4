//! A response's body that gives its connection back once it was read to the end.

use std::{
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;

use super::{
    Connections,
    http1::{Http1Connection, Released},
    http2::Stream,
    stall::Stall,
    tunnel::Tunnel,
};

/// The body of a backend's response.
///
/// Dropped before its end, it closes the connection: what is left on it is nobody's answer.
pub struct ResponseBody {
    inner: Incoming,
    source: Source,
    stall: Stall,
    ended: bool,
}

/// Where the body comes from.
enum Source {
    /// A connection of its own; it goes back to where it came from.
    Http1 { connection: Box<Http1Connection>, home: Rc<Connections> },
    /// A connection that goes on by itself and is used for nothing else.
    Alone { _released: Option<Released> },
    /// One of the streams of a connection.
    Http2 { stream: Stream, upgrade: Option<OnUpgrade> },
}

/// What is left once it was taken.
const NOTHING: Source = Source::Alone { _released: None };

/// Why a response's body ended early.
#[derive(Debug, thiserror::Error)]
pub enum ResponseBodyError {
    /// The backend broke it off, or sent what is no body.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// The backend sent nothing for too long.
    #[error("the backend sent no more of its body")]
    Stalled,
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl ResponseBody {
    fn new(inner: Incoming, source: Source, limit: Duration) -> Self {
        Self { inner, source, stall: Stall::new(limit), ended: false }
    }

    /// From a connection that is polled along with it, and then goes back to `home`.
    pub(super) fn http1(
        inner: Incoming,
        connection: Box<Http1Connection>,
        home: Rc<Connections>,
        limit: Duration,
    ) -> Self {
        Self::new(inner, Source::Http1 { connection, home }, limit)
    }

    /// From a connection that is polled by somebody else, for as long as it is wanted.
    pub(super) fn alone(inner: Incoming, released: Option<Released>, limit: Duration) -> Self {
        Self::new(inner, Source::Alone { _released: released }, limit)
    }

    /// From a stream that counts as open as long as this lives, and that may leave HTTP by `upgrade`.
    pub(super) fn http2(
        inner: Incoming,
        stream: Stream,
        upgrade: Option<OnUpgrade>,
        limit: Duration,
    ) -> Self {
        Self::new(inner, Source::Http2 { stream, upgrade }, limit)
    }

    /// The connection itself, or the stream, after a response that switched it to another protocol;
    /// `None` where it is not to be had.
    pub async fn into_tunnel(mut self) -> Option<Tunnel> {
        match std::mem::replace(&mut self.source, NOTHING) {
            Source::Http1 { connection, .. } => connection.into_tunnel(),
            Source::Http2 { stream, upgrade: Some(upgrade) } => {
                let upgraded = upgrade.await.ok()?;
                Some(Tunnel::new(TokioIo::new(upgraded), stream))
            }
            Source::Alone { .. } | Source::Http2 { upgrade: None, .. } => None,
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ResponseBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        let this = &mut *self;
        let inner = &mut this.inner;
        let frame = match &mut this.source {
            Source::Http1 { connection, .. } => {
                connection.poll(context, |context| Pin::new(&mut *inner).poll_frame(context))
            }
            Source::Alone { .. } | Source::Http2 { .. } => Pin::new(inner).poll_frame(context),
        };
        let Poll::Ready(frame) = frame else {
            ready!(this.stall.poll_over(context));
            return Poll::Ready(Some(Err(ResponseBodyError::Stalled)));
        };
        this.stall.moved();
        this.ended |= match &frame {
            None => true,
            Some(Ok(frame)) => frame.is_trailers(),
            Some(Err(_)) => false,
        };
        Poll::Ready(frame.map(|frame| frame.map_err(ResponseBodyError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if !(self.ended || self.inner.is_end_stream()) {
            return;
        }
        if let Source::Http1 { connection, home } = std::mem::replace(&mut self.source, NOTHING) {
            home.put_back(connection);
        }
    }
}
