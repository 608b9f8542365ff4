//! Judges what a client sends before hyper parses it: requests by RFC 9112, one at a time.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
    rc::Rc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    framing::{BodyFrame, Fault, HeadLimits, RequestScan},
    net::{Judge, Judgement},
};

/// Read by hyper in place of a request that is refused, so that the refusal is an answer like any
/// other, in its turn behind those to the requests before it.
const REFUSED: &[u8] = b"GET / HTTP/1.1\r\nhost: refused.invalid\r\n\r\n";

/// Interim responses that may wait to be written.
const MOST_INTERIM: usize = 16;

/// What the judge of a client's stream and the exchanges on it know of each other.
#[derive(Debug, Default)]
pub(super) struct Hop {
    /// A request was passed on, and its exchange is not over.
    busy: Cell<bool>,
    /// Something was held back meanwhile.
    held: Cell<bool>,
    /// What was held back may go on, and nobody has been told.
    nudge: Cell<bool>,
    /// Why the present request is refused, or its body is.
    fault: Cell<Option<Fault>>,
    /// The present head took too long.
    late: Cell<bool>,
    /// There is more of the present request than was passed on.
    unread: Cell<bool>,
    /// Since when the rest of a head is missing.
    waiting: Cell<Option<Instant>>,
    /// Since when a write has been waiting for the client to read.
    blocked: Cell<Option<Instant>>,
    /// The client has closed its side; since when nothing has moved.
    closed: Cell<Option<Instant>>,
    /// All that hyper wrote has left.
    flushed: Cell<bool>,
    interim: RefCell<VecDeque<Bytes>>,
    /// The final response has begun: there is no place for an interim one any more.
    answered: Cell<bool>,
}

impl Hop {
    /// Of a connection whose first request is `late` already.
    pub(super) fn new(late: bool) -> Self {
        Self { late: Cell::new(late), ..Self::default() }
    }

    /// Takes the reason why the present request is refused.
    pub(super) fn take_fault(&self) -> Option<Fault> {
        self.fault.take()
    }

    fn begins(&self) {
        self.busy.set(true);
        self.answered.set(false);
        self.waiting.set(None);
    }

    /// The exchange is over.
    pub(super) fn ends(&self) {
        self.busy.set(false);
        self.nudge.set(self.held.take());
        self.interim.borrow_mut().clear();
    }

    /// Whether an exchange is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.get()
    }

    /// Whether the stream must be asked again, once: the exchange that held the next request, or the
    /// end of the stream, is over.
    pub(super) fn takes_up(&self) -> bool {
        self.nudge.take()
    }

    fn hold(&self) -> Judgement {
        self.held.set(true);
        Judgement::Hold
    }

    /// Whether the next byte would be the first of a request, and all answers have left.
    pub(super) fn is_idle(&self) -> bool {
        let open = self.busy.get() || self.unread.get() || self.waiting.get().is_some();
        !open && self.flushed.get()
    }

    /// Whether the client may still be sending what nobody will read.
    pub(super) fn has_unread(&self) -> bool {
        self.unread.get() || self.waiting.get().is_some()
    }

    /// Whether an interim response waits to be written, and can be.
    pub(super) fn has_interim(&self) -> bool {
        self.flushed.get() && !self.interim.borrow().is_empty()
    }

    /// The final response is about to begin. Ready once the interim ones before it have left; those
    /// that cannot leave at once are dropped.
    pub(super) async fn answers(&self) {
        if !self.interim.borrow().is_empty() {
            tokio::task::yield_now().await;
        }
        self.interim.borrow_mut().clear();
        self.answered.set(true);
    }

    /// Has an interim response written before the final one, if there is time for it.
    pub(super) fn interim(&self, head: Bytes) {
        let mut interim = self.interim.borrow_mut();
        if self.busy.get() && !self.answered.get() && interim.len() < MOST_INTERIM {
            interim.push_back(head);
        }
    }

    /// Whether the head of a request has been incomplete for `limit`; it is refused, once.
    pub(super) fn is_late(&self, limit: Duration) -> bool {
        let late = is_over(&self.waiting, limit);
        if late {
            self.waiting.set(None);
            self.late.set(true);
        }
        late
    }

    /// Whether the client has read nothing for `limit`.
    pub(super) fn is_blocked(&self, limit: Duration) -> bool {
        is_over(&self.blocked, limit)
    }

    /// Whether the client closed its side, and nothing has moved for `limit` since.
    pub(super) fn is_gone(&self, limit: Duration) -> bool {
        is_over(&self.closed, limit)
    }
}

fn is_over(since: &Cell<Option<Instant>>, limit: Duration) -> bool {
    since.get().is_some_and(|since| since.elapsed() >= limit)
}

/// The judge of one connection.
#[derive(Debug)]
pub(super) struct Inbound {
    limits: HeadLimits,
    hop: Rc<Hop>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Head(RequestScan),
    Body(BodyFrame),
    /// Nothing more is taken.
    Over,
}

impl Inbound {
    pub(super) fn new(limits: HeadLimits, hop: Rc<Hop>) -> Self {
        Self { limits, hop, stage: Stage::Head(RequestScan::new(limits)) }
    }

    fn advance(&mut self, bytes: &[u8]) -> Result<Judgement, Fault> {
        let (taken, done) = match &mut self.stage {
            Stage::Over => return Ok(Judgement::Hold),
            Stage::Head(_) if self.hop.busy.get() => return Ok(self.hop.hold()),
            Stage::Head(_) if self.hop.late.take() => return Err(Fault::Late),
            Stage::Head(_) | Stage::Body(_) if bytes.is_empty() => return Ok(Judgement::More),
            Stage::Body(body) => (body.advance(bytes)?, body.is_done()),
            Stage::Head(scan) => {
                let Some(head) = scan.advance(bytes)? else { return Ok(Judgement::More) };
                let mut body = head.body;
                let taken = body.advance(bytes.get(head.length..).unwrap_or_default())?;
                let done = body.is_done();
                self.hop.begins();
                self.stage = Stage::Body(body);
                (head.length + taken, done)
            }
        };
        if done {
            self.stage = Stage::Head(RequestScan::new(self.limits));
        }
        self.hop.unread.set(!done);
        Ok(Judgement::Pass(taken))
    }

    fn refuse(&mut self, fault: Fault) -> Judgement {
        self.hop.fault.set(Some(fault));
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Head(_) => {
                self.hop.begins();
                self.hop.unread.set(true);
                Judgement::Replace(REFUSED)
            }
            Stage::Body(_) | Stage::Over => Judgement::Refuse(fault),
        }
    }
}

impl Judge for Inbound {
    fn judge(&mut self, bytes: &[u8]) -> Judgement {
        self.advance(bytes).unwrap_or_else(|fault| self.refuse(fault))
    }

    fn closed(&mut self, left: usize) -> Judgement {
        match &self.stage {
            Stage::Head(_) if !self.hop.busy.get() && left > 0 => self.refuse(Fault::Incomplete),
            Stage::Head(_) if !self.hop.busy.get() => Judgement::Pass(0),
            Stage::Body(_) => Judgement::Pass(0),
            Stage::Head(_) | Stage::Over => {
                if self.hop.closed.get().is_none() {
                    self.hop.closed.set(Some(Instant::now()));
                }
                Judgement::Hold
            }
        }
    }

    fn waits(&mut self, kept: usize) {
        if kept > 0 && self.hop.waiting.get().is_none() {
            self.hop.waiting.set(Some(Instant::now()));
        }
    }

    fn wrote(&mut self, result: Poll<io::Result<usize>>, _: usize) -> Poll<io::Result<usize>> {
        let hop = &self.hop;
        match &result {
            Poll::Ready(_) => {
                hop.blocked.set(None);
                if hop.closed.get().is_some() {
                    hop.closed.set(Some(Instant::now()));
                }
            }
            Poll::Pending if hop.blocked.get().is_none() => hop.blocked.set(Some(Instant::now())),
            Poll::Pending => {}
        }
        hop.flushed.set(false);
        result
    }

    fn flushed(&mut self) {
        self.hop.flushed.set(true);
    }

    fn ours(&mut self) -> Option<Bytes> {
        if !self.hop.flushed.get() {
            return None;
        }
        self.hop.interim.borrow_mut().pop_front()
    }
}
