//! The questions of one flow (one client socket, one resolver) that wait for their answers.
//!
//! Pure: the clock is an argument. Only what is remembered here can teach: an answer that nobody
//! asked for is relayed, or not, but never learned from.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::message::Question;

/// Most questions of a flow; more than a program has under way on one socket.
const MOST_QUESTIONS: usize = 64;

/// How long an answer is waited for; longer than programs do (glibc: 5 s, `dig`: 5 s).
const PATIENCE: Duration = Duration::from_secs(30);

/// Questions that wait for an answer, the latest last.
#[derive(Debug, Default)]
pub struct InFlight {
    waiting: VecDeque<Waiting>,
    forgotten: u64,
}

#[derive(Debug)]
struct Waiting {
    question: Question,
    since: Instant,
    /// How many answers it may have.
    times: u32,
}

impl InFlight {
    /// Notes that `question` goes out now; to be called before it does.
    ///
    /// The same question with the same id, sent again, takes no second place, but may be answered
    /// once more: if the first answer is an error, it is the second that the program uses.
    pub fn asked(&mut self, question: Question, now: Instant) {
        self.forget_old(now);
        let times = self.take(&question).map_or(1, |earlier| earlier.times.saturating_add(1));
        if self.waiting.len() >= MOST_QUESTIONS {
            self.waiting.pop_front();
            self.forgotten = self.forgotten.saturating_add(1);
        }
        self.waiting.push_back(Waiting { question, since: now, times });
    }

    /// The question that `answer` is the answer to, if it waits for one; it no longer does then.
    pub fn answered(&mut self, answer: &[u8], now: Instant) -> Option<Question> {
        self.forget_old(now);
        if self.waiting.is_empty() {
            return None;
        }
        let question = Question::of_answer(answer)?;
        let place = self.place(&question)?;
        let waiting = self.waiting.get_mut(place)?;
        waiting.times = waiting.times.saturating_sub(1);
        if waiting.times == 0 {
            self.waiting.remove(place);
        }
        Some(question)
    }

    /// Whether no question waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many questions gave way to later ones before their answer came; what those answers say
    /// is not learned.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some(oldest) = self.waiting.front()
            && now.saturating_duration_since(oldest.since) >= PATIENCE
        {
            self.waiting.pop_front();
        }
    }

    fn take(&mut self, question: &Question) -> Option<Waiting> {
        let place = self.place(question)?;
        self.waiting.remove(place)
    }

    fn place(&self, question: &Question) -> Option<usize> {
        self.waiting.iter().position(|waiting| waiting.question == *question)
    }
}

#[cfg(test)]
mod tests {
    use super::{InFlight, MOST_QUESTIONS, PATIENCE};
    use crate::{dns::message::Question, types::HostName};
    use hickory_proto::{
        op::{Message, MessageType, OpCode, Query},
        rr::Name,
    };
    use proptest::prelude::{prop_assert, proptest};
    use std::time::{Duration, Instant};

    fn question(id: u16, name: &str) -> Question {
        let name = HostName::parse(name).expect("a name");
        Question { id, name, record_type: 1, class: 1 }
    }

    /// The answer to `question`, without records.
    fn answer(question: &Question) -> Vec<u8> {
        let name = Name::from_ascii(format!("{}.", question.name)).expect("a name");
        let mut message = Message::new(question.id, MessageType::Response, OpCode::Query);
        message.add_query(Query::query(name, question.record_type.into()));
        message.to_vec().expect("encodes")
    }

    #[test]
    fn each_question_is_answered_once_in_any_order() {
        let now = Instant::now();
        let mut flow = InFlight::default();
        let [first, second] = [question(1, "a.test"), question(2, "b.test")];
        flow.asked(first.clone(), now);
        flow.asked(second.clone(), now);
        assert_eq!(flow.answered(&answer(&second), now), Some(second.clone()));
        assert_eq!(flow.answered(&answer(&first), now), Some(first));
        assert_eq!(flow.answered(&answer(&second), now), None);
    }

    #[test]
    fn an_answer_nobody_asked_for_is_none() {
        let now = Instant::now();
        let mut flow = InFlight::default();
        flow.asked(question(1, "a.test"), now);
        assert_eq!(flow.answered(&answer(&question(2, "a.test")), now), None);
        assert_eq!(flow.answered(&answer(&question(1, "b.test")), now), None);
        let other_type = Question { record_type: 28, ..question(1, "a.test") };
        assert_eq!(flow.answered(&answer(&other_type), now), None);
        assert_eq!(flow.answered(&[], now), None);
        assert!(flow.answered(&answer(&question(1, "a.test")), now).is_some(), "still waits");
    }

    #[test]
    fn a_query_that_comes_back_is_no_answer() {
        let now = Instant::now();
        let mut flow = InFlight::default();
        flow.asked(question(1, "a.test"), now);
        let mut echo = answer(&question(1, "a.test"));
        echo[2] &= 0x7f;
        assert_eq!(flow.answered(&echo, now), None);
    }

    #[test]
    fn a_question_sent_twice_may_be_answered_twice() {
        let now = Instant::now();
        let mut flow = InFlight::default();
        flow.asked(question(1, "a.test"), now);
        flow.asked(question(1, "a.test"), now);
        let answer = answer(&question(1, "a.test"));
        assert!(flow.answered(&answer, now).is_some());
        assert!(flow.answered(&answer, now).is_some());
        assert!(flow.answered(&answer, now).is_none());
    }

    #[test]
    fn the_oldest_gives_way_and_is_counted() {
        let now = Instant::now();
        let mut flow = InFlight::default();
        let ids = 0..u16::try_from(MOST_QUESTIONS).expect("few") + 2;
        ids.for_each(|id| flow.asked(question(id, "a.test"), now));
        assert_eq!(flow.forgotten(), 2);
        assert_eq!(flow.answered(&answer(&question(1, "a.test")), now), None);
        assert!(flow.answered(&answer(&question(2, "a.test")), now).is_some());
    }

    #[test]
    fn after_30_seconds_a_question_no_longer_waits() {
        let now = Instant::now();
        let answer = answer(&question(1, "a.test"));
        let mut flow = InFlight::default();
        flow.asked(question(1, "a.test"), now);
        assert!(flow.answered(&answer, now + PATIENCE).is_none());
        flow.asked(question(1, "a.test"), now);
        let almost = PATIENCE.saturating_sub(Duration::from_millis(1));
        assert!(flow.answered(&answer, now + almost).is_some());
        assert_eq!(flow.forgotten(), 0, "time ran out, nothing gave way");
    }

    proptest! {
        /// No question is answered more often than it was asked, and memory stays bounded.
        #[test]
        fn answers_never_outnumber_questions(
            steps in proptest::collection::vec((0..80_u16, 0..3_u8, 0..5_u64), 0..400)
        ) {
            let mut flow = InFlight::default();
            let mut now = Instant::now();
            let mut open = [0_u32; 80];
            for (id, action, wait) in steps {
                now += Duration::from_secs(wait);
                let question = question(id, "a.test");
                let open = &mut open[usize::from(id)];
                if action > 0 {
                    flow.asked(question, now);
                    *open += 1;
                } else if flow.answered(&answer(&question), now).is_some() {
                    prop_assert!(*open > 0);
                    *open -= 1;
                }
                prop_assert!(flow.waiting.len() <= MOST_QUESTIONS);
            }
        }
    }
}
