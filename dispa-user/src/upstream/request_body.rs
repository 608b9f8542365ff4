//! A request's body on its way to a server, and the limits that run from its last move.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::{UpstreamError, go_ahead::GoAhead, stall::Stall};

/// What became of a request's body so far; clones tell the same.
#[derive(Clone, Debug)]
pub(super) struct Progress(Rc<Moves>);

#[derive(Debug)]
struct Moves {
    last: Cell<Instant>,
    state: Cell<BodyState>,
    /// There is nothing to send until the client sends more.
    waits: Cell<bool>,
}

/// How far a request's body has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyState {
    /// More is to come.
    Open,
    /// The server has been given all of it.
    Ended,
    /// The client broke it off, or sent what is no body.
    Broken,
    /// The client sent nothing for too long.
    Stalled,
}

impl Progress {
    /// A request with such a body is about to be sent.
    pub(super) fn begin(body: &impl Body) -> Self {
        let state = if body.is_end_stream() { BodyState::Ended } else { BodyState::Open };
        let waits = Cell::new(false);
        Self(Rc::new(Moves { last: Cell::new(Instant::now()), state: Cell::new(state), waits }))
    }

    pub(super) fn state(&self) -> BodyState {
        self.0.state.get()
    }

    /// Whether it is for the client to go on.
    pub(super) fn waits_for_client(&self) -> bool {
        self.state() == BodyState::Open && self.0.waits.get()
    }

    /// How long ago the last of the body was sent, or, if that is later, it was [`Self::restart`]ed.
    pub(super) fn since_last(&self) -> Duration {
        self.0.last.get().elapsed()
    }

    /// Another server gets the whole time.
    pub(super) fn restart(&self) {
        self.0.last.set(Instant::now());
    }

    fn note(&self, state: BodyState) {
        self.restart();
        self.0.waits.set(false);
        self.0.state.set(state);
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
            let last = self.0.last.get();
            match timeout_at(last + limit, exchange.as_mut()).await {
                Ok(ended) => return ended,
                Err(_) if self.0.last.get() > last => {}
                Err(_) => return Err(UpstreamError::TimedOut(limit)),
            }
        }
    }
}

/// The most that is kept of a body to send it again.
const MOST_KEPT: usize = 64 * 1024;

/// What was sent of a body, as long as it is little.
#[derive(Debug, Default)]
struct Sent {
    pieces: Vec<Bytes>,
    bytes: usize,
    /// It was more, or not only data.
    lost: bool,
}

impl Sent {
    fn note(&mut self, frame: &Frame<Bytes>) {
        let piece = frame.data_ref().filter(|piece| self.bytes + piece.len() <= MOST_KEPT);
        match piece {
            Some(piece) if !self.lost => {
                self.bytes += piece.len();
                self.pieces.push(piece.clone());
            }
            Some(_) | None => {
                self.lost = true;
                self.pieces.clear();
            }
        }
    }
}

/// A body that was sent before, kept to be sent again; clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept(Rc<RefCell<Sent>>);

/// Where a body comes from.
#[derive(Debug)]
enum Source {
    Client(Incoming),
    /// What was kept of it, the last piece first.
    Again(Vec<Bytes>),
}

/// A client's body, or what was kept of one.
#[derive(Debug)]
pub(super) struct RequestBody {
    source: Source,
    kept: Option<Kept>,
    progress: Progress,
    stall: Stall,
    go_ahead: Option<Rc<GoAhead>>,
}

/// Why a request's body ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestBodyError {
    /// The client broke it off.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// The client sent nothing for too long.
    #[error("the client sent no more of its body")]
    Stalled,
}

impl RequestBody {
    /// `inner`, whose moves are noted in `progress`, and which may stand still for `limit`.
    pub(super) fn new(inner: Incoming, progress: &Progress, limit: Duration) -> Self {
        let stall = Stall::new(limit);
        let source = Source::Client(inner);
        Self { source, kept: None, progress: progress.clone(), stall, go_ahead: None }
    }

    /// Keeps what is sent, as long as it is little.
    pub(super) fn keep(&mut self) -> Kept {
        self.kept.get_or_insert_default().clone()
    }

    /// Nothing is sent before `go_ahead` is given.
    pub(super) fn wait_for(&mut self, go_ahead: Rc<GoAhead>) {
        self.go_ahead = Some(go_ahead);
    }

    /// The body of a request that has none.
    pub(super) fn nothing(progress: &Progress) -> Self {
        Self::again(Vec::new(), progress)
    }

    /// A body that was sent before, all of it, if it was kept.
    pub(super) fn from_kept(kept: &Kept, progress: &Progress) -> Option<Self> {
        let sent = kept.0.borrow();
        let whole = progress.state() == BodyState::Ended && !sent.lost;
        whole.then(|| Self::again(sent.pieces.iter().rev().cloned().collect(), progress))
    }

    fn again(pieces: Vec<Bytes>, progress: &Progress) -> Self {
        let stall = Stall::new(Duration::ZERO);
        let source = Source::Again(pieces);
        Self { source, kept: None, progress: progress.clone(), stall, go_ahead: None }
    }

    /// Another one like it; only nothing can be had twice.
    pub(super) fn copy(&self) -> Option<Self> {
        self.is_end_stream().then(|| Self::nothing(&self.progress))
    }

    fn poll_stalled(&mut self, context: &mut Context<'_>) -> Poll<RequestBodyError> {
        ready!(self.stall.poll_over(context));
        self.progress.note(BodyState::Stalled);
        Poll::Ready(RequestBodyError::Stalled)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let this = &mut *self;
        if let Some(go_ahead) = &this.go_ahead {
            ready!(go_ahead.poll_given(context));
            this.go_ahead = None;
        }
        let inner = match &mut this.source {
            Source::Client(inner) => inner,
            Source::Again(pieces) => {
                let piece = pieces.pop().map(Frame::data);
                if let (Some(Kept(kept)), Some(piece)) = (&this.kept, &piece) {
                    kept.borrow_mut().note(piece);
                }
                return Poll::Ready(piece.map(Ok));
            }
        };
        let Poll::Ready(frame) = Pin::new(&mut *inner).poll_frame(context) else {
            this.progress.0.waits.set(true);
            return this.poll_stalled(context).map(|stalled| Some(Err(stalled)));
        };
        if let (Some(Kept(kept)), Some(Ok(frame))) = (&this.kept, &frame) {
            kept.borrow_mut().note(frame);
        }
        this.stall.moved();
        this.progress.note(match &frame {
            Some(Err(_)) => BodyState::Broken,
            Some(Ok(_)) if !inner.is_end_stream() => BodyState::Open,
            Some(Ok(_)) | None => BodyState::Ended,
        });
        Poll::Ready(frame.map(|frame| frame.map_err(RequestBodyError::from)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Client(inner) => inner.is_end_stream(),
            Source::Again(pieces) => pieces.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Client(inner) => inner.size_hint(),
            Source::Again(pieces) => {
                SizeHint::with_exact(pieces.iter().map(|piece| piece.len() as u64).sum())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Progress, RequestBody};
    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Empty};

    #[tokio::test]
    async fn what_was_sent_again_can_be_sent_once_more() {
        let progress = Progress::begin(&Empty::<Bytes>::new());
        let pieces = ["again", "once "].map(Bytes::from).into();
        let mut body = RequestBody::again(pieces, &progress);
        for _ in 0..3 {
            let kept = body.keep();
            let sent = body.collect().await.expect("no client to break it off").to_bytes();
            assert_eq!(&sent[..], b"once again");
            body = RequestBody::from_kept(&kept, &progress).expect("it was little");
        }
    }
}
