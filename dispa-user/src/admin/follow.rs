//! What goes on, line by line, for as long as somebody reads it: each exchange, or once a second what
//! all of them came to.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use super::{activity::Window, conversation::GoesOn};
use crate::{
    exchange::{Exchange, Filter},
    state::Follower,
};

/// Bytes that are sent together where there is much to tell.
const PIECE: usize = 32 * 1024;

/// A line is sent at least so often, if only an empty one: a reader that is gone is noticed then.
const SILENCE: Duration = Duration::from_secs(10);

/// How often it is told what all exchanges came to.
const WINDOW: Duration = Duration::from_secs(1);

/// What is told in place of exchanges that the reader was too slow for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// How many.
    pub missed: u64,
}

/// Each exchange that `filter` wants, as a line of JSON.
pub(super) fn exchanges(follower: Follower, filter: Filter) -> GoesOn {
    let lines = stream::unfold((follower, filter), |(mut follower, filter)| async move {
        let mut piece = Vec::new();
        let first = timeout(SILENCE, wanted(&mut follower, &filter)).await.ok();
        let missed = follower.take_missed();
        if missed > 0 {
            push(&mut piece, &Missed { missed });
        }
        match first {
            Some(exchange) => push(&mut piece, &exchange.row()),
            None => piece.push(b'\n'),
        }
        while piece.len() < PIECE
            && let Some(exchange) = follower.next_now()
        {
            if filter.wants(&exchange) {
                push(&mut piece, &exchange.row());
            }
        }
        Some((Ok::<_, Infallible>(Frame::data(piece.into())), (follower, filter)))
    });
    StreamBody::new(lines).boxed_unsync()
}

async fn wanted(follower: &mut Follower, filter: &Filter) -> Arc<Exchange> {
    loop {
        let exchange = follower.next().await;
        if filter.wants(&exchange) {
            return exchange;
        }
    }
}

/// Once a second, as a line of JSON, what the exchanges of that second came to.
pub(super) fn activity(follower: Follower) -> GoesOn {
    let ticks = ticks();
    let lines = stream::unfold((follower, ticks), |(mut follower, mut ticks)| async move {
        let (begun, mut window) = (Instant::now(), Window::default());
        loop {
            tokio::select! {
                biased;
                _ = ticks.tick() => break,
                exchange = follower.next() => window.add(&exchange),
            }
        }
        let activity = window.end(begun.elapsed(), follower.take_missed());
        let mut piece = Vec::new();
        push(&mut piece, &activity);
        Some((Ok::<_, Infallible>(Frame::data(piece.into())), (follower, ticks)))
    });
    StreamBody::new(lines).boxed_unsync()
}

fn ticks() -> Interval {
    let mut ticks = interval_at(Instant::now() + WINDOW, WINDOW);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn push<T: Serialize>(piece: &mut Vec<u8>, value: &T) {
    // None of ours can fail to be written.
    if serde_json::to_writer(&mut *piece, value).is_ok() {
        piece.push(b'\n');
    }
}
