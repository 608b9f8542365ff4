//! Which exchanges of a connection wait for its client to take what is there for it.
//!
//! HTTP/2 asks for a piece of a body when the client has room for it. A client that never makes
//! room holds the rest for ever, and nobody is woken to notice.

use std::{cell::RefCell, rc::Rc};

/// The exchanges of one connection.
#[derive(Debug, Default)]
pub(super) struct Seats {
    inner: RefCell<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    tick: u32,
    /// By seat: the tick at which it began to wait, if it does.
    waits: Vec<Option<u32>>,
    free: Vec<usize>,
}

/// One exchange.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Rc<Seats>,
    index: usize,
}

impl Seats {
    /// For another exchange.
    pub(super) fn take(self: &Rc<Self>) -> Seat {
        let mut inner = self.inner.borrow_mut();
        let index = inner.free.pop().unwrap_or_else(|| {
            inner.waits.push(None);
            inner.waits.len() - 1
        });
        Seat { seats: Rc::clone(self), index }
    }

    /// How many exchanges there are.
    pub(super) fn taken(&self) -> usize {
        let inner = self.inner.borrow();
        inner.waits.len() - inner.free.len()
    }

    /// Another tick has passed; whether any exchange has waited for `limit` of them.
    pub(super) fn tick(&self, limit: u32) -> bool {
        let mut inner = self.inner.borrow_mut();
        inner.tick = inner.tick.wrapping_add(1);
        let now = inner.tick;
        inner.waits.iter().flatten().any(|since| now.wrapping_sub(*since) > limit)
    }
}

impl Seat {
    /// Whether the exchange now waits for its client.
    pub(super) fn waits(&self, waits: bool) {
        let mut inner = self.seats.inner.borrow_mut();
        let since = waits.then_some(inner.tick);
        if let Some(seat) = inner.waits.get_mut(self.index) {
            *seat = since;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.waits(false);
        self.seats.inner.borrow_mut().free.push(self.index);
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::Seats;

    #[test]
    fn only_who_waits_too_long_counts() {
        let seats = Rc::new(Seats::default());
        let (one, two) = (seats.take(), seats.take());
        one.waits(true);
        assert!(!seats.tick(2));
        two.waits(true);
        assert!(!seats.tick(2));
        one.waits(false);
        assert!(!seats.tick(2));
        assert!(seats.tick(2), "two has waited for three ticks");
        drop(two);
        assert!(!seats.tick(2));
        assert_eq!(seats.taken(), 1);
        drop((one, seats.take()));
        assert_eq!(seats.taken(), 0);
    }
}
