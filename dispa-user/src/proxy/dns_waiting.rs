//! When the questions of a flow were asked, to tell how long their answers take.

use std::time::{Duration, Instant};

/// Questions of one flow that are timed at once: programs ask two or three from one socket.
const MOST: usize = 8;

/// When the last few questions were asked, by their ids.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    asked: [Option<(u16, Instant)>; MOST],
    next: usize,
}

impl Waiting {
    /// A question goes out; the oldest is forgotten where there are too many.
    pub(super) fn asked(&mut self, message: &[u8], now: Instant) {
        if let (Some(id), Some(place)) = (id_of(message), self.asked.get_mut(self.next)) {
            *place = Some((id, now));
            self.next = (self.next + 1) % MOST;
        }
    }

    /// How long ago it was asked what this answers; none if that is not known (any more).
    pub(super) fn answered(&mut self, message: &[u8], now: Instant) -> Option<Duration> {
        let id = id_of(message)?;
        let is_its = |place: &&mut Option<(u16, Instant)>| place.is_some_and(|it| it.0 == id);
        let (_, asked) = self.asked.iter_mut().find(is_its)?.take()?;
        Some(now.saturating_duration_since(asked))
    }
}

/// The first field of a message (RFC 1035 section 4.1.1).
fn id_of(message: &[u8]) -> Option<u16> {
    message.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{MOST, Waiting};

    #[test]
    fn answers_are_timed_from_their_questions_and_once() {
        let (mut waiting, start) = (Waiting::default(), Instant::now());
        let later = |ms| start + Duration::from_millis(ms);
        waiting.asked(&[0, 1, 9], start);
        waiting.asked(&[0, 2], later(1));
        waiting.asked(&[7], later(1));
        assert_eq!(waiting.answered(&[0, 2], later(5)), Some(Duration::from_millis(4)));
        assert_eq!(waiting.answered(&[0, 1], later(5)), Some(Duration::from_millis(5)));
        assert_eq!(waiting.answered(&[0, 1], later(6)), None);
        assert_eq!(waiting.answered(&[], later(6)), None);
    }

    #[test]
    fn of_very_many_questions_the_last_are_remembered() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        for id in 0..=MOST {
            waiting.asked(&[0, u8::try_from(id).expect("few")], now);
        }
        assert_eq!(waiting.answered(&[0, 0], now), None);
        assert_eq!(waiting.answered(&[0, 1], now), Some(Duration::ZERO));
    }
}
