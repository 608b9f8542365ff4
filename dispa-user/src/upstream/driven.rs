//! A connection that is polled by whoever waits for its exchange, instead of by a task of its own:
//! the switch to another task and back would cost more than what there is to do.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// A connection's future.
pub(super) struct Driven<F> {
    future: F,
    /// It ended: nothing can be sent any more.
    ended: bool,
    signal: Arc<Signal>,
    waker: Waker,
}

/// Wakes who drives, unless it is the driving itself that causes the signal: then there is only
/// another round.
#[derive(Debug, Default)]
struct Signal {
    driver: AtomicWaker,
    driving: AtomicBool,
    again: AtomicBool,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.again.store(true, Ordering::Relaxed);
        if !self.driving.load(Ordering::Relaxed) {
            self.driver.wake();
        }
    }
}

impl<F: Future + Unpin> Driven<F> {
    pub(super) fn new(future: F) -> Self {
        let signal = Arc::new(Signal::default());
        let waker = Waker::from(Arc::clone(&signal));
        Self { future, ended: false, signal, waker }
    }

    /// Whether the connection has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn into_inner(self) -> F {
        self.future
    }

    /// Polls `wanted` and the connection in turns until it is there, or neither can go on; then
    /// whatever lets one of them go on wakes the present task.
    pub(super) fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        mut wanted: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.signal.driver.register(context.waker());
        self.signal.driving.store(true, Ordering::Relaxed);
        let inner = &mut Context::from_waker(&self.waker);
        let result = loop {
            self.signal.again.store(false, Ordering::Relaxed);
            if let Poll::Ready(there) = wanted(inner) {
                break Poll::Ready(there);
            }
            if !self.ended {
                self.ended = Pin::new(&mut self.future).poll(inner).is_ready();
                if let Poll::Ready(there) = wanted(inner) {
                    break Poll::Ready(there);
                }
            }
            if !self.signal.again.load(Ordering::Relaxed) {
                break Poll::Pending;
            }
        };
        self.signal.driving.store(false, Ordering::Relaxed);
        result
    }

    /// Lets the connection do what it can at once. Nobody is woken for the rest.
    pub(super) fn settle(&mut self) {
        let nobody = &mut Context::from_waker(Waker::noop());
        let _ = self.poll(nobody, |_| Poll::<()>::Pending);
    }
}
