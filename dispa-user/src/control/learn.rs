//! Keeps what is intercepted in step with the names: answers come in, old ones run out.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::AbortHandle,
    time::{MissedTickBehavior, interval, timeout_at},
};

use crate::{
    dns::{Answer, NoAnswer, poll},
    state::{Interception, Live, State},
    types::HostName,
};

/// How often expired addresses, idle and freed slots are looked for.
const TICK: Duration = Duration::from_secs(5);

/// How long the start waits for the first answers; names that answer later are caught later.
const WARM_START: Duration = Duration::from_secs(3);

/// Queries under way at once: each has descriptors of its own.
const MOST_QUERIES: usize = 16;

/// Answers that may wait to be applied.
const QUEUE: usize = 64;

/// Resolves the intercepted exact names and applies what it learns.
#[derive(Debug)]
pub struct Learner {
    changes: watch::Receiver<Arc<State>>,
    sender: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
    turn: Arc<Semaphore>,
    polls: HashMap<HostName, AbortHandle>,
    waiting: HashSet<HostName>,
    /// The last error of each name that has one, so that it is told once and not at every retry.
    failing: HashMap<HostName, NoAnswer>,
}

impl Learner {
    /// Starts to ask for every exact name; needs a runtime.
    #[must_use]
    pub fn start(live: &Live) -> Self {
        let (sender, answers) = mpsc::channel(QUEUE);
        let mut learner = Self {
            changes: live.watch(),
            sender,
            answers,
            turn: Arc::new(Semaphore::new(MOST_QUERIES)),
            polls: HashMap::new(),
            waiting: HashSet::new(),
            failing: HashMap::new(),
        };
        learner.follow();
        learner.waiting = learner.polls.keys().cloned().collect();
        learner
    }

    /// Asks for what the rules have by now, and for nothing else.
    fn follow(&mut self) {
        let state = Arc::clone(&self.changes.borrow_and_update());
        let names: HashSet<HostName> = state.rules.exact_names().cloned().collect();
        self.polls.retain(|name, poll| {
            let stays = names.contains(name);
            if !stays {
                poll.abort();
            }
            stays
        });
        self.failing.retain(|name, _| names.contains(name));
        for name in names {
            let (turn, sender) = (Arc::clone(&self.turn), self.sender.clone());
            let start = || tokio::spawn(poll(name.clone(), turn, sender)).abort_handle();
            self.polls.entry(name.clone()).or_insert_with(start);
        }
    }

    /// Applies first answers until every name has one, or for as long as the start may wait.
    pub async fn warm_start(&mut self, interception: &Interception) {
        let end = tokio::time::Instant::now() + WARM_START;
        while !self.waiting.is_empty() {
            let Ok(Some(answer)) = timeout_at(end, self.answers.recv()).await else { break };
            self.apply(interception, &answer);
        }
        for name in &self.waiting {
            tracing::warn!(%name, "not resolved yet; connections to it go direct until it is");
        }
    }

    /// Applies answers and ends what runs out, for ever.
    pub async fn run(mut self, interception: Arc<Interception>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(answer) = self.answers.recv() => self.apply(&interception, &answer),
                _ = ticks.tick() => interception.tidy(Instant::now()),
                Ok(()) = self.changes.changed() => self.follow(),
            }
        }
    }

    fn apply(&mut self, interception: &Interception, answer: &Answer) {
        self.waiting.remove(&answer.name);
        if !self.polls.contains_key(&answer.name) {
            // It was asked for before the rules changed.
            return;
        }
        match &answer.addresses {
            Err(error) => {
                if matches!(error, NoAnswer::Unknown(_)) {
                    interception.keep(&answer.name, Instant::now());
                }
                return self.note_failure(answer, error);
            }
            Ok(_) => drop(self.failing.remove(&answer.name)),
        }
        if let Some(lesson) = answer.lesson() {
            interception.learn(&lesson, Instant::now());
        }
    }

    fn note_failure(&mut self, answer: &Answer, error: &NoAnswer) {
        let last = self.failing.insert(answer.name.clone(), error.clone());
        if last.as_ref() != Some(error) {
            tracing::warn!(name = %answer.name, %error, "cannot resolve");
        }
    }
}
