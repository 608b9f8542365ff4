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
use crate::life::memory_is_short;

/// What became of a request's body so far; clones tell the same.
#[derive(Clone, Debug)]
pub struct Progress(Rc<Moves>);

#[derive(Debug)]
struct Moves {
    last: Cell<Instant>,
    /// When the client last sent something, or the request began.
    client: Cell<Instant>,
    state: Cell<BodyState>,
    /// There is nothing to send until the client sends more.
    waits: Cell<bool>,
    /// Bytes that the client has sent.
    taken: Cell<u64>,
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
        let (waits, taken) = (Cell::new(false), Cell::new(0));
        let now = Instant::now();
        let (last, client) = (Cell::new(now), Cell::new(now));
        Self(Rc::new(Moves { last, client, state: Cell::new(state), waits, taken }))
    }

    /// Bytes of the body that the client has sent so far.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.0.taken.get()
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

    /// How long ago the client sent the last of the body so far, or the request.
    pub(super) fn since_client(&self) -> Duration {
        self.0.client.get().elapsed()
    }

    /// Another server gets the whole time.
    pub(super) fn restart(&self) {
        self.0.last.set(Instant::now());
    }

    fn client_sent(&self, frame: Option<&Result<Frame<Bytes>, hyper::Error>>) {
        let data = frame.and_then(|frame| frame.as_ref().ok()?.data_ref());
        let bytes = data.map_or(0, |data| data.len() as u64);
        self.0.taken.set(self.0.taken.get() + bytes);
        self.0.client.set(Instant::now());
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

/// The most pieces that it may have come in.
const MOST_PIECES: usize = 1024;

/// What was sent of a body, as long as it is little.
#[derive(Debug, Default)]
struct Sent {
    pieces: Vec<Bytes>,
    bytes: usize,
    /// It was more, or not only data.
    lost: bool,
    /// What the client has yet to send, once whoever sent this is gone, and how long it may stand still.
    rest: Option<(Incoming, Duration)>,
}

impl Sent {
    fn note(&mut self, frame: &Frame<Bytes>) {
        let piece = frame.data_ref().filter(|piece| self.bytes + piece.len() <= MOST_KEPT);
        match piece {
            Some(piece) if piece.is_empty() => {}
            Some(piece) if !self.lost && self.pieces.len() < MOST_PIECES && !memory_is_short() => {
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

/// A client's body, or what was kept of one and the rest of it.
#[derive(Debug)]
pub(super) struct RequestBody {
    /// What was kept, the last piece first.
    again: Vec<Bytes>,
    /// What the client has yet to send.
    client: Option<Incoming>,
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
        Self::of(Vec::new(), Some(inner), progress, limit)
    }

    /// Keeps what is sent, as long as it is little.
    pub(super) fn keep(&mut self) -> Kept {
        self.kept.get_or_insert_default().clone()
    }

    /// What the client has yet to send.
    pub(super) fn take_client(&mut self) -> Option<Incoming> {
        self.client.take()
    }

    /// Nothing is sent before `go_ahead` is given.
    pub(super) fn wait_for(&mut self, go_ahead: Rc<GoAhead>) {
        self.go_ahead = Some(go_ahead);
    }

    /// The body of a request that has none.
    pub(super) fn nothing(progress: &Progress) -> Self {
        Self::of(Vec::new(), None, progress, Duration::ZERO)
    }

    /// A body that was sent before, in whole or in part, if all of that was kept, and the rest is there.
    pub(super) fn from_kept(kept: &Kept, progress: &Progress) -> Option<Self> {
        let mut sent = kept.0.borrow_mut();
        let (rest, limit) = match progress.state() {
            BodyState::Ended => (None, Duration::ZERO),
            BodyState::Open => {
                let (rest, limit) = sent.rest.take()?;
                (Some(rest), limit)
            }
            BodyState::Broken | BodyState::Stalled => return None,
        };
        if sent.lost {
            return None;
        }
        let again: Vec<_> = sent.pieces.iter().rev().cloned().collect();
        let body = Self::of(again, rest, progress, limit);
        progress.note(body.state());
        Some(body)
    }

    fn of(
        again: Vec<Bytes>,
        client: Option<Incoming>,
        progress: &Progress,
        limit: Duration,
    ) -> Self {
        let (progress, stall) = (progress.clone(), Stall::new(limit));
        Self { again, client, kept: None, progress, stall, go_ahead: None }
    }

    fn state(&self) -> BodyState {
        if self.is_end_stream() { BodyState::Ended } else { BodyState::Open }
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
        let frame = match (this.again.pop(), &mut this.client) {
            (Some(piece), _) => Some(Ok(Frame::data(piece))),
            (None, None) => None,
            (None, Some(client)) => match Pin::new(client).poll_frame(context) {
                Poll::Ready(frame) => {
                    this.progress.client_sent(frame.as_ref());
                    frame
                }
                Poll::Pending => {
                    this.progress.0.waits.set(true);
                    return this.poll_stalled(context).map(|stalled| Some(Err(stalled)));
                }
            },
        };
        if let (Some(Kept(kept)), Some(Ok(frame))) = (&this.kept, &frame) {
            kept.borrow_mut().note(frame);
        }
        this.stall.moved();
        this.progress.note(match &frame {
            Some(Err(_)) => BodyState::Broken,
            Some(Ok(_)) => this.state(),
            None => BodyState::Ended,
        });
        Poll::Ready(frame.map(|frame| frame.map_err(RequestBodyError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.again.is_empty() && self.client.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let again = self.again.iter().map(|piece| piece.len() as u64).sum();
        let rest = self.client.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(again));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(again)) {
            hint.set_upper(upper);
        }
        hint
    }
}

/// What is left of it is what another one of it needs.
impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(Kept(kept)) = self.kept.take() else { return };
        let mut kept = kept.borrow_mut();
        for piece in self.again.drain(..).rev() {
            kept.note(&Frame::data(piece));
        }
        kept.rest = self.client.take().map(|rest| (rest, self.stall.limit()));
    }
}

#[cfg(test)]
mod tests {
    use super::{Progress, RequestBody};
    use std::time::Duration;

    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Empty};

    #[tokio::test]
    async fn what_was_sent_again_can_be_sent_once_more() {
        let progress = Progress::begin(&Empty::<Bytes>::new());
        let pieces = ["again", "once "].map(Bytes::from).into();
        let mut body = RequestBody::of(pieces, None, &progress, Duration::ZERO);
        for _ in 0..3 {
            let kept = body.keep();
            let sent = body.collect().await.expect("no client to break it off").to_bytes();
            assert_eq!(&sent[..], b"once again");
            body = RequestBody::from_kept(&kept, &progress).expect("it was little");
        }
    }
}
