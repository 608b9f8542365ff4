//! The bounded queue in front of one sink. Whoever puts something into it never waits.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::accounts::{Accounts, Counts, Fate, Reason};
use crate::exchange::Exchange;

/// Between the workers and the thread of one sink.
#[derive(Debug)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    /// For the sink's thread.
    wake: Condvar,
    /// Bytes that may be in it, those included that the sink has taken and not dealt with.
    limit: usize,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Arc<Exchange>>,
    bytes: usize,
    counts: Counts,
    /// Why the sink does not get on, and in words.
    trouble: Option<(Reason, String)>,
    /// Wants to be looked at before its time.
    poked: bool,
    /// By when the sink is to be done.
    deadline: Option<Instant>,
    /// Nobody empties it any more, for this reason.
    given_up: Option<Reason>,
}

/// Tells the queue if the thread that has it ends in a panic.
#[derive(Debug)]
pub(super) struct Watch(Arc<Queue>);

impl Watch {
    pub(super) fn over(queue: &Arc<Queue>) -> Self {
        Self(Arc::clone(queue))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if thread::panicking() {
            let name = thread::current().name().unwrap_or_default().to_owned();
            self.0.stuck(Reason::Panicked, format!("its thread {name} ended in a panic"));
            self.0.give_up(Reason::Panicked);
            tracing::error!(
                thread = name,
                "nothing more is written to the traffic log: a thread ended in a panic"
            );
        }
    }
}

/// What a sink took and is dealing with, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Batch {
    exchanges: VecDeque<Arc<Exchange>>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.exchanges.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Exchange>> {
        self.exchanges.iter()
    }
}

impl Queue {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { inner: Mutex::default(), wake: Condvar::new(), limit })
    }

    /// Takes it in, or counts it as dropped. The sink looks at its queue now and then by itself, and is
    /// woken only when much waits: waking a thread costs more than all the rest.
    pub(super) fn push(&self, exchange: &Arc<Exchange>) {
        let size = exchange.size();
        let mut inner = self.lock();
        let bytes = inner.bytes.saturating_add(size);
        if bytes > self.limit || inner.given_up.is_some() {
            let of_trouble = inner.trouble.as_ref().map(|(reason, _)| *reason);
            let reason = inner.given_up.or(of_trouble).unwrap_or(Reason::QueueFull);
            inner.counts.turn_away(reason);
            return;
        }
        inner.counts.admit();
        inner.waiting.push_back(Arc::clone(exchange));
        let much = self.much();
        let is_much = inner.bytes < much && bytes >= much && inner.trouble.is_none();
        inner.bytes = bytes;
        inner.poked |= is_much;
        drop(inner);
        if is_much {
            self.wake.notify_one();
        }
    }

    /// Up to `most` records, as soon as there are enough of them or `interval` has passed; none if there
    /// are none by then. What was taken before must have been settled.
    pub(super) fn take(&self, interval: Duration, most: usize) -> Batch {
        let mut inner = self.lock();
        // A full batch waits for nobody, nor does what came while the sink could not get on.
        if inner.waiting.len() < most && inner.bytes < self.much() {
            inner = self.sleep(inner, interval);
        }
        let count = inner.waiting.len().min(most);
        Batch { exchanges: inner.waiting.drain(..count).collect() }
    }

    /// Bytes that are worth a look before its time.
    const fn much(&self) -> usize {
        self.limit / 4
    }

    /// Waits, unless it is time to end.
    pub(super) fn pause(&self, interval: Duration) {
        drop(self.sleep(self.lock(), interval));
    }

    fn sleep<'q>(&self, inner: MutexGuard<'q, Inner>, interval: Duration) -> MutexGuard<'q, Inner> {
        let interval = if inner.deadline.is_some() { interval.min(LAST_LOOKS) } else { interval };
        let begun_to_end = inner.deadline.is_some();
        let goes_on = |inner: &mut Inner| !inner.poked && inner.deadline.is_some() == begun_to_end;
        let slept = self.wake.wait_timeout_while(inner, interval, goes_on);
        let (mut inner, _) = slept.unwrap_or_else(PoisonError::into_inner);
        inner.poked = false;
        inner
    }

    /// The first `count` of what was taken have met this fate.
    pub(super) fn settle(&self, batch: &mut Batch, count: usize, fate: Fate) {
        let settled = batch.exchanges.drain(..count.min(batch.exchanges.len()));
        let (count, bytes) = settled.fold((0, 0), |(n, bytes), it| (n + 1, bytes + it.size()));
        let mut inner = self.lock();
        inner.bytes = inner.bytes.saturating_sub(bytes);
        if inner.given_up.is_none() {
            inner.counts.settle(count, fate);
        }
    }

    /// An earlier run left so many in the spill file.
    pub(super) fn inherit(&self, count: u64) {
        self.lock().counts.inherit(count);
    }

    /// So many of the spill file have met this fate.
    pub(super) fn settle_spilled(&self, count: u64, fate: Fate) {
        self.lock().counts.settle_spilled(count, fate);
    }

    /// The sink does not get on: what finds no room is dropped for this reason.
    pub(super) fn stuck(&self, reason: Reason, why: String) {
        self.lock().trouble = Some((reason, why));
    }

    /// It does again. Whether it had not.
    pub(super) fn unstuck(&self) -> bool {
        self.lock().trouble.take().is_some()
    }

    /// Has the sink look at once.
    pub(super) fn poke(&self) {
        self.lock().poked = true;
        self.wake.notify_one();
    }

    /// Has the sink write what is there and end.
    pub(super) fn close(&self, deadline: Instant) {
        self.lock().deadline = Some(deadline);
        self.wake.notify_one();
    }

    /// By when the sink is to be done, once that is known.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lock().deadline
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// There is no more time, or nobody to use it: whatever is not settled is lost.
    pub(super) fn give_up(&self, reason: Reason) {
        let mut inner = self.lock();
        let reason = *inner.given_up.get_or_insert(reason);
        inner.waiting.clear();
        inner.counts.give_up(reason);
    }

    pub(super) fn accounts(&self, sink: &str, place: &str) -> Accounts {
        let inner = self.lock();
        let trouble = inner.trouble.as_ref().map(|(_, why)| why.clone());
        Accounts::of(sink, place, &inner.counts, trouble)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often a sink that is to end and cannot tries again.
const LAST_LOOKS: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        thread,
        time::{Duration, Instant},
    };

    use proptest::prelude::*;

    use super::{Batch, Queue, Watch};
    use crate::{
        exchange::Exchange,
        sink::{
            accounts::{Accounts, Fate, Reason},
            tests::exchange,
        },
    };

    const NO_TIME: Duration = Duration::from_millis(1);

    fn accounts(queue: &Queue) -> Accounts {
        let accounts = queue.accounts("file", "here");
        assert!(accounts.balance(), "{accounts}");
        accounts
    }

    #[test]
    fn what_hangs_at_the_end_is_lost_and_counted_once() {
        let queue = Queue::new(1 << 20);
        let exchange = Arc::new(exchange(1));
        (0..10).for_each(|_| queue.push(&exchange));
        let mut taken = queue.take(NO_TIME, 4);
        queue.give_up(Reason::Stopped);
        queue.push(&exchange);
        assert_eq!(accounts(&queue).dropped, [("stopped".to_owned(), 11)].into());
        queue.settle(&mut taken, 4, Fate::Written);
        assert_eq!((accounts(&queue).written, accounts(&queue).dropped()), (0, 11));
    }

    #[test]
    fn a_panic_is_seen_in_the_accounts() {
        let one = Arc::new(exchange(1));
        let queue = Queue::new(1 << 20);
        (0..10).for_each(|_| queue.push(&one));
        let own = Arc::clone(&queue);
        let thread = thread::Builder::new().name("sink".to_owned()).spawn(move || {
            let _watch = Watch::over(&own);
            let mut batch = own.take(NO_TIME, 6);
            own.settle(&mut batch, 2, Fate::Written);
            panic!("as it should");
        });
        thread.expect("starts").join().expect_err("a panic");
        queue.push(&one);
        let told = accounts(&queue);
        assert_eq!((told.observed, told.written), (11, 2));
        assert_eq!(told.dropped, [("panicked".to_owned(), 9)].into());
        assert_eq!(told.trouble.as_deref(), Some("its thread sink ended in a panic"));
        queue.give_up(Reason::Stopped);
        assert_eq!(accounts(&queue).dropped.len(), 1, "the stop changes nothing");
    }

    #[test]
    fn a_sink_that_is_stuck_says_why_records_find_no_room() {
        let one = Arc::new(exchange(1));
        let queue = Queue::new(one.size() * 2);
        queue.push(&one);
        queue.stuck(Reason::DiskFull, "no room".to_owned());
        (0..3).for_each(|_| queue.push(&one));
        let told = accounts(&queue);
        assert_eq!((told.queued, told.trouble.as_deref()), (2, Some("no room")));
        assert!(queue.unstuck() && !queue.unstuck());
        queue.push(&one);
        let dropped = [("disk_full".to_owned(), 2), ("queue_full".to_owned(), 1)];
        assert_eq!(accounts(&queue).dropped, dropped.into());
    }

    #[test]
    fn a_sink_is_woken_when_much_waits_or_it_is_to_end() {
        let one = Arc::new(exchange(1));
        let queue = Queue::new(one.size() * 40);
        let wait = || {
            let begun = Instant::now();
            let mut batch = queue.take(Duration::from_mins(1), 1_000);
            queue.settle(&mut batch, usize::MAX, Fate::Written);
            begun.elapsed()
        };
        thread::scope(|scope| {
            let waiting = scope.spawn(wait);
            (0..10).for_each(|_| queue.push(&one));
            assert!(waiting.join().expect("no panic") < Duration::from_secs(30));
            let waiting = scope.spawn(wait);
            queue.close(Instant::now());
            assert!(waiting.join().expect("no panic") < Duration::from_secs(30));
        });
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push,
        Take(usize),
        Settle(usize, bool),
        Load(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Push),
            1 => (1_usize..9).prop_map(Step::Take),
            2 => (0_usize..9, any::<bool>()).prop_map(|(count, spills)| Step::Settle(count, spills)),
            1 => (0_u64..9).prop_map(Step::Load),
        ]
    }

    proptest! {
        #[test]
        fn the_accounts_balance_whatever_happens(steps in proptest::collection::vec(step(), 0..200)) {
            let one: Arc<Exchange> = Arc::new(exchange(1));
            let queue = Queue::new(one.size() * 12);
            let (mut batch, mut pushed) = (Batch::default(), 0);
            for step in steps {
                match step {
                    Step::Push => {
                        queue.push(&one);
                        pushed += 1;
                    }
                    Step::Take(most) if batch.is_empty() => batch = queue.take(Duration::ZERO, most),
                    Step::Take(_) => {}
                    Step::Settle(count, false) => queue.settle(&mut batch, count, Fate::Written),
                    Step::Settle(count, true) => queue.settle(&mut batch, count, Fate::Spilled),
                    Step::Load(count) => queue.settle_spilled(count, Fate::Written),
                }
                let told = queue.accounts("file", "here");
                prop_assert!(told.balance() && told.observed == pushed, "{told}");
                prop_assert!(told.queued <= 12, "{told}");
            }
        }
    }
}
