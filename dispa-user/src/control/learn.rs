//! Keeps what is intercepted in step with the names: answers come in, old ones run out.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Semaphore, mpsc},
    time::{MissedTickBehavior, interval, timeout_at},
};

use crate::{
    dns::{Answer, NoAnswer, poll},
    state::{Interception, State},
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
    state: Arc<State>,
    answers: mpsc::Receiver<Answer>,
    waiting: HashSet<HostName>,
    /// The last error of each name that has one, so that it is told once and not at every retry.
    failing: HashMap<HostName, NoAnswer>,
}

impl Learner {
    /// Starts to ask for every exact name; needs a runtime.
    #[must_use]
    pub fn start(state: Arc<State>) -> Self {
        let (sender, answers) = mpsc::channel(QUEUE);
        let turn = Arc::new(Semaphore::new(MOST_QUERIES));
        let waiting: HashSet<HostName> = state.rules.exact_names().cloned().collect();
        for name in &waiting {
            tokio::spawn(poll(name.clone(), Arc::clone(&turn), sender.clone()));
        }
        Self { state, answers, waiting, failing: HashMap::new() }
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
    pub async fn run(mut self) {
        let state = Arc::clone(&self.state);
        let Some(interception) = &state.interception else { return };
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(answer) = self.answers.recv() => self.apply(interception, &answer),
                _ = ticks.tick() => interception.tidy(Instant::now()),
            }
        }
    }

    fn apply(&mut self, interception: &Interception, answer: &Answer) {
        self.waiting.remove(&answer.name);
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
