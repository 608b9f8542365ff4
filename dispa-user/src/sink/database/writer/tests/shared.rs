//! A database and a spill file that two daemons write to at the same time.

use std::{sync::Arc, thread};

use rusqlite::Connection;

use super::{Scratch, closed, config, count, now, until};
use crate::sink::TrafficLog;

#[test]
fn two_daemons_write_into_the_same_database() {
    let scratch = Scratch::new();
    let logs = [(); 2].map(|()| TrafficLog::open(&config(&scratch)).expect("opens"));
    thread::scope(|scope| {
        for log in &logs {
            scope.spawn(move || {
                for number in 0..3_000 {
                    log.observe(&Arc::new(now(number)));
                    if number % 100 == 0 {
                        log.reopen();
                        thread::yield_now();
                    }
                }
            });
        }
    });
    for log in &logs {
        let accounts = closed(log);
        // What met a lock may have been spilled, and then it is there still.
        assert_eq!((accounts.observed, accounts.dropped()), (3_000, 0), "{accounts}");
    }
    let log = TrafficLog::open(&config(&scratch)).expect("opens");
    until("what was spilled is loaded", || log.accounts()[0].spilled == 0);
    closed(&log);
    assert_eq!(count(&scratch.path("data/traffic.db")), 6_000);
}

#[test]
fn the_spill_file_is_one_daemons_and_then_the_others() {
    let scratch = Scratch::new();
    let file = scratch.path("data/traffic.db");
    let [one, other] = [(); 2].map(|()| TrafficLog::open(&config(&scratch)).expect("opens"));
    let lock = Connection::open(&file).expect("opens");
    lock.execute_batch("BEGIN EXCLUSIVE").expect("locks");
    for number in 0..50 {
        one.observe(&Arc::new(now(number)));
        other.observe(&Arc::new(now(number)));
    }
    until("the one spills", || one.accounts()[0].spilled == 50);
    until("the other cannot", || other.accounts()[0].trouble.is_some());
    assert_eq!((other.accounts()[0].queued, other.accounts()[0].spilled), (50, 0));
    let accounts = closed(&one);
    assert_eq!((accounts.spilled, accounts.dropped()), (50, 0));
    // The one is gone: what it left and what comes is the other's.
    until("the other spills", || other.accounts()[0].spilled == 100);
    assert!(other.accounts()[0].balance());
    lock.execute_batch("COMMIT").expect("unlocks");
    until("all is written", || other.accounts()[0].written == 100);
    let accounts = closed(&other);
    assert_eq!((accounts.observed, accounts.dropped()), (100, 0));
    assert_eq!(count(&file), 100);
}
