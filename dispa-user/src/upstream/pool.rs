//! One worker's connections to the backends, kept open between requests.
//!
//! Idle ones are used last in, first out. There are at most so many, in total and for each backend;
//! who finds none free waits in line, and the line has an end too.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    fmt,
    rc::{Rc, Weak},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    UpstreamError,
    http1::Http1Connection,
    http2::{Freed, Http2Connection, Stream},
};

/// Exchanges that may wait for a connection to one backend.
const LONGEST_LINE: usize = 1024;

/// How many connections one worker may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct PoolLimits {
    pub(super) total: usize,
    pub(super) idle: usize,
    pub(super) idle_for: Duration,
}

/// The connections of one worker.
pub(super) struct Pool {
    limits: Cell<PoolLimits>,
    backends: RefCell<HashMap<u32, Connected>>,
    open: Cell<usize>,
    /// None is kept any more.
    closing: Cell<bool>,
}

/// What there is to one backend.
#[derive(Default)]
struct Connected {
    open: usize,
    /// There may be so many, as whoever wanted one last said.
    most: usize,
    /// The youngest last.
    idle: VecDeque<Box<Http1Connection>>,
    shared: Vec<Http2Connection>,
    /// One is being made that many may share.
    opening: bool,
    line: VecDeque<oneshot::Sender<Grant>>,
    /// It is no backend any more: no connection to it is kept.
    gone: bool,
}

impl Connected {
    /// Whether nothing is left to know of one that is gone.
    fn is_over(&self) -> bool {
        self.gone && self.open == 0 && self.line.is_empty()
    }
}

/// What somebody who wants to send gets.
pub(super) enum Grant {
    /// A connection that is ready.
    Idle(Box<Http1Connection>),
    /// The right to make one.
    Slot(Slot),
    /// Another chance: something may be there now.
    Look,
}

/// What somebody who wants to send on a shared connection gets.
pub(super) enum Shared {
    /// A stream of a connection that is there.
    Stream(Http2Connection, Stream),
    /// The right, and the duty, to make a connection.
    Slot(Opening),
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("open", &self.open).finish_non_exhaustive()
    }
}

/// One connection that there may be, or is; free again when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    pool: Weak<Pool>,
    backend: u32,
}

impl Slot {
    pub(super) const fn backend(&self) -> u32 {
        self.backend
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.release(self.backend);
        }
    }
}

/// A connection that is being made for many; whoever waits for it hears of its end.
#[derive(Debug)]
pub(super) struct Opening {
    pool: Rc<Pool>,
    backend: u32,
    slot: Option<Slot>,
}

impl Opening {
    pub(super) fn take_slot(&mut self) -> Option<Slot> {
        self.slot.take()
    }

    /// It is there, and everybody may use it.
    pub(super) fn opened(self, connection: Http2Connection) {
        self.pool.with(self.backend, |connected| connected.shared.push(connection));
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let line = self.pool.with(self.backend, |connected| {
            connected.opening = false;
            std::mem::take(&mut connected.line)
        });
        for waiting in line {
            let _ = waiting.send(Grant::Look);
        }
    }
}

impl Pool {
    pub(super) fn new(limits: PoolLimits) -> Rc<Self> {
        let closing = Cell::new(false);
        Rc::new(Self {
            limits: Cell::new(limits),
            backends: RefCell::default(),
            open: Cell::new(0),
            closing,
        })
    }

    pub(super) fn idle(&self) -> usize {
        self.backends.borrow().values().map(|connected| connected.idle.len()).sum()
    }

    /// A ready connection to `backend`, or the right to make one of at most so many; `None` if that must
    /// be waited for.
    pub(super) fn try_connection(self: &Rc<Self>, backend: u32, most: usize) -> Option<Grant> {
        if let Some(connection) = self.take_idle(backend) {
            return Some(Grant::Idle(connection));
        }
        self.limit(backend, most);
        self.slot(backend).map(Grant::Slot)
    }

    /// A ready connection to `backend`, or the right to make one of at most so many.
    pub(super) async fn connection(
        self: &Rc<Self>,
        backend: u32,
        most: usize,
    ) -> Result<Grant, UpstreamError> {
        loop {
            if let Some(grant) = self.try_connection(backend, most) {
                return Ok(grant);
            }
            match self.wait(backend).await? {
                Grant::Look => {}
                grant => return Ok(grant),
            }
        }
    }

    /// A stream to `backend`, or the duty to make a connection, one of at most so many, for more of
    /// them.
    pub(super) async fn stream(
        self: &Rc<Self>,
        backend: u32,
        most: usize,
    ) -> Result<Shared, UpstreamError> {
        loop {
            if let Some((connection, stream)) = self.free_stream(backend) {
                return Ok(Shared::Stream(connection, stream));
            }
            self.limit(backend, most);
            if !self.with(backend, |connected| connected.opening)
                && let Some(slot) = self.slot(backend)
            {
                return Ok(Shared::Slot(self.opening(backend, slot)));
            }
            if let Grant::Slot(slot) = self.wait(backend).await? {
                return Ok(Shared::Slot(self.opening(backend, slot)));
            }
        }
    }

    fn opening(self: &Rc<Self>, backend: u32, slot: Slot) -> Opening {
        self.with(backend, |connected| connected.opening = true);
        Opening { pool: Rc::clone(self), backend, slot: Some(slot) }
    }

    fn free_stream(self: &Rc<Self>, backend: u32) -> Option<(Http2Connection, Stream)> {
        self.with(backend, |connected| {
            connected.shared.retain(|connection| !connection.is_closed());
            connected.shared.iter().find_map(|connection| {
                let stream = connection.stream(self.freed(backend))?;
                Some((connection.clone(), stream))
            })
        })
    }

    /// Tells the first in line that a stream is free.
    fn freed(self: &Rc<Self>, backend: u32) -> Freed {
        let pool = Rc::downgrade(self);
        Freed(Box::new(move || {
            if let Some(pool) = pool.upgrade() {
                let _ = pool.grant(backend, Grant::Look);
            }
        }))
    }

    /// The youngest idle connection that is ready, and none that is too old.
    fn take_idle(&self, backend: u32) -> Option<Box<Http1Connection>> {
        loop {
            // Outside the borrow: one that is closed gives its slot back.
            let mut connection = self.with(backend, |connected| connected.idle.pop_back())?;
            if connection.since.elapsed() < self.limits.get().idle_for && connection.is_ready() {
                return Some(connection);
            }
        }
    }

    /// Closes the idle connections to `backend`.
    pub(super) fn close_idle_of(&self, backend: u32) {
        // Outside the borrow: each gives its slot back.
        let idle = self.with(backend, |connected| std::mem::take(&mut connected.idle));
        drop(idle);
    }

    /// Takes a connection back whose exchange is over.
    pub(super) fn put_back(&self, connection: Box<Http1Connection>) {
        let backend = connection.backend();
        if self.closing.get() || backend == 0 || self.with(backend, |connected| connected.gone) {
            return;
        }
        let Err(Grant::Idle(connection)) = self.grant(backend, Grant::Idle(connection)) else {
            return;
        };
        let oldest = self.with(backend, |connected| {
            connected.idle.push_back(connection);
            if connected.idle.len() > self.limits.get().idle {
                connected.idle.pop_front()
            } else {
                None
            }
        });
        drop(oldest);
    }

    /// The right to make a connection, at the cost of an idle one to another backend if need be.
    fn slot(self: &Rc<Self>, backend: u32) -> Option<Slot> {
        if self.with(backend, |connected| connected.open >= connected.most) {
            return None;
        }
        if self.open.get() >= self.limits.get().total {
            drop(self.oldest_idle()?);
        }
        // What was dropped may have been given to somebody else.
        (self.open.get() < self.limits.get().total).then(|| self.take_slot(backend))
    }

    /// Whether there is an idle connection to `backend`, or less than `most`.
    pub(super) fn has_room(&self, backend: u32, most: usize) -> bool {
        self.with(backend, |connected| !connected.idle.is_empty() || connected.open < most)
    }

    fn limit(&self, backend: u32, most: usize) {
        self.with(backend, |connected| connected.most = most);
    }

    fn take_slot(self: &Rc<Self>, backend: u32) -> Slot {
        self.open.set(self.open.get() + 1);
        self.with(backend, |connected| connected.open += 1);
        Slot { pool: Rc::downgrade(self), backend }
    }

    fn oldest_idle(&self) -> Option<Box<Http1Connection>> {
        let mut backends = self.backends.borrow_mut();
        let with_idle = backends.values_mut().filter(|connected| !connected.idle.is_empty());
        let oldest = with_idle.min_by_key(|connected| connected.idle.front().map(|it| it.since))?;
        oldest.idle.pop_front()
    }

    /// A connection is closed: whoever is first in line may make another.
    fn release(self: &Rc<Self>, backend: u32) {
        self.open.set(self.open.get() - 1);
        self.with(backend, |connected| connected.open -= 1);
        if self.closing.get() {
            return;
        }
        if self.has_line(backend) {
            return self.hand_on(backend);
        }
        let waiting =
            self.backends.borrow().iter().find(|(_, it)| !it.line.is_empty()).map(|it| *it.0);
        if let Some(other) = waiting {
            self.hand_on(other);
        }
    }

    fn has_line(&self, backend: u32) -> bool {
        self.with(backend, |connected| !connected.line.is_empty())
    }

    fn hand_on(self: &Rc<Self>, backend: u32) {
        if let Some(slot) = self.slot(backend) {
            // Whoever it was for may be gone: then it is free again, and comes back here.
            drop(self.grant(backend, Grant::Slot(slot)));
        }
    }

    /// Gives `grant` to the first in line who still waits; back if nobody does.
    fn grant(&self, backend: u32, mut grant: Grant) -> Result<(), Grant> {
        while let Some(waiting) = self.with(backend, |connected| connected.line.pop_front()) {
            match waiting.send(grant) {
                Ok(()) => return Ok(()),
                Err(back) => grant = back,
            }
        }
        Err(grant)
    }

    async fn wait(&self, backend: u32) -> Result<Grant, UpstreamError> {
        let (sender, receiver) = oneshot::channel();
        let queued = self.with(backend, |connected| {
            let room = connected.line.len() < LONGEST_LINE;
            if room {
                connected.line.push_back(sender);
            }
            room
        });
        if !queued {
            return Err(UpstreamError::Busy);
        }
        // It is not dropped without a word; if it were, another look does no harm.
        Ok(receiver.await.unwrap_or(Grant::Look))
    }

    /// Closes the connections that have been idle for too long, or that the backend has closed.
    pub(super) fn sweep(&self) {
        let mut all = Vec::new();
        let mut over = Vec::new();
        for connected in self.backends.borrow_mut().values_mut() {
            all.extend(connected.idle.drain(..));
            let is_over = |it: &mut Http2Connection| {
                it.is_closed() || it.is_idle_for(self.limits.get().idle_for)
            };
            over.extend(connected.shared.extract_if(.., is_over));
        }
        // Outside the borrow: each gives its slot back.
        drop(over);
        for mut connection in all {
            if connection.since.elapsed() < self.limits.get().idle_for && connection.is_ready() {
                let backend = connection.backend();
                self.with(backend, |connected| connected.idle.push_back(connection));
            }
        }
    }

    /// Goes by other limits from now on, and keeps no connections to backends that are not `there`: a
    /// number is never another one's, so that they will not be again.
    pub(super) fn follow(self: &Rc<Self>, limits: PoolLimits, there: impl Fn(u32) -> bool) {
        self.limits.set(limits);
        let (mut idle, mut shared) = (Vec::new(), Vec::new());
        for (number, connected) in self.backends.borrow_mut().iter_mut() {
            if !there(*number) {
                connected.gone = true;
                idle.extend(connected.idle.drain(..));
                shared.extend(connected.shared.extract_if(.., |it| it.is_idle_for(Duration::ZERO)));
            }
        }
        // Outside the borrow: each gives its slot back.
        drop((idle, shared));
        self.backends.borrow_mut().retain(|_, connected| !connected.is_over());
        let waiting = |backends: &HashMap<u32, Connected>| -> Vec<u32> {
            backends.iter().filter(|(_, it)| !it.line.is_empty()).map(|it| *it.0).collect()
        };
        let waiting = waiting(&self.backends.borrow());
        for backend in waiting {
            // There may be more now.
            self.hand_on(backend);
        }
    }

    /// Closes every idle connection, and from now on each at the end of its exchange.
    pub(super) fn close_idle(&self) {
        self.closing.set(true);
        let taken = std::mem::take(&mut *self.backends.borrow_mut());
        // Their counts are needed until the last of them is gone.
        for (backend, connected) in taken {
            self.with(backend, |kept| {
                (kept.open, kept.most) = (connected.open, connected.most);
                kept.line = connected.line;
            });
            drop((connected.idle, connected.shared));
        }
    }

    fn with<T>(&self, backend: u32, act: impl FnOnce(&mut Connected) -> T) -> T {
        act(self.backends.borrow_mut().entry(backend).or_default())
    }
}
