//! The one place where a worker's tasks are spawned, and counted until they end.

use std::{cell::Cell, future::Future, rc::Rc};

use futures_util::FutureExt as _;
use tokio::sync::Notify;

/// The tasks of one worker. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    shared: Rc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    running: Cell<usize>,
    idle: Notify,
}

impl Tasks {
    /// Runs `task` on this worker's runtime and counts it until it ends or is dropped.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let running = Running::new(&self.shared);
        // An async block would hold the task twice: as it was given, and as it is awaited.
        tokio::task::spawn_local(task.map(move |()| drop(running)));
    }

    /// Tasks running now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.shared.running.get()
    }

    /// Waits until no task is running.
    pub async fn idle(&self) {
        while self.running() > 0 {
            self.shared.idle.notified().await;
        }
    }
}

/// hyper's own tasks run where its connection does.
impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, future: F) {
        self.spawn(future.map(drop));
    }
}

struct Running(Rc<Shared>);

impl Running {
    fn new(shared: &Rc<Shared>) -> Self {
        shared.running.set(shared.running.get() + 1);
        Self(Rc::clone(shared))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let left = self.0.running.get() - 1;
        self.0.running.set(left);
        if left == 0 {
            // Stores a permit, so that a waiter that has not polled yet is not missed.
            self.0.idle.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tasks;
    use tokio::{sync::oneshot, task::LocalSet};

    #[tokio::test]
    async fn idle_waits_for_every_task() {
        LocalSet::new()
            .run_until(async {
                let tasks = Tasks::default();
                tasks.idle().await;
                let (first, first_ends) = oneshot::channel::<()>();
                let (second, second_ends) = oneshot::channel::<()>();
                tasks.spawn(async { drop(first_ends.await) });
                tasks.spawn(async { drop(second_ends.await) });
                assert_eq!(tasks.running(), 2);
                drop(first);
                drop(second);
                tasks.idle().await;
                assert_eq!(tasks.running(), 0);
            })
            .await;
    }
}
