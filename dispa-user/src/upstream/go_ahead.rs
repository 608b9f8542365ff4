//! A body that waits until the backend asks for it (`Expect: 100-continue`, RFC 9110 section 10.1.1).

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::sleep;

use crate::life::Tasks;

/// How long the backend has to ask: one that does not know of it never does.
const PATIENCE: Duration = Duration::from_secs(1);

/// The word that the body may be sent.
#[derive(Debug, Default)]
pub(super) struct GoAhead {
    given: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl GoAhead {
    /// Not given yet; given by itself after a while.
    pub(super) fn expect(tasks: &Tasks) -> Rc<Self> {
        let go_ahead = Rc::new(Self::default());
        let later = Rc::downgrade(&go_ahead);
        tasks.spawn(async move {
            sleep(PATIENCE).await;
            if let Some(go_ahead) = later.upgrade() {
                go_ahead.give();
            }
        });
        go_ahead
    }

    pub(super) fn give(&self) {
        self.given.set(true);
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    pub(super) fn poll_given(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.given.get() {
            return Poll::Ready(());
        }
        self.waiting.replace(Some(context.waker().clone()));
        Poll::Pending
    }
}
